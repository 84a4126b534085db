package main

import (
	"fmt"
	"net/http"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/client"
)

// page sends an order at once, and a message with what else there is to be sent.
const page = `<!doctype html><title>Tea</title>%s
<script type="module">
import { AppendableBeacon } from "/_pb.mjs";
const orders = new AppendableBeacon("/_pb", { timeout: 0 });
document.getElementById("order").onclick = () => orders.appendData({ item: "green", pieces: 2 }, "order");
document.getElementById("like").onclick = () => beacon.log("I like tea");
</script>
<button id="order">Order</button> <button id="like">Like</button>`

func serve(h *beacon.Handler) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, page, h.ScriptTag(client.Tag{}))
	})
	server := &http.Server{Addr: "localhost:8080", Handler: h.Middleware(mux),
		ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	return server.ListenAndServe()
}
