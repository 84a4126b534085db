// A server on Express, as the articles about sendBeacon have it: multer for FormData,
// Express's own parsers for the rest. It says where it listens, answers each line of its
// standard input with what it got, and ends with it.
import { createInterface } from "node:readline";
import express from "express";
import multer from "multer";

const app = express();
let events = 0;
let last;

function take(req, res) {
  events++;
  last = req.body;
  res.status(204).end();
}

app.post("/log-tracking", multer().none(), express.urlencoded({ extended: false }), express.json({ type: ["text/plain", "application/json"] }), take);

const server = app.listen(0, "127.0.0.1", () => {
  console.log(JSON.stringify({ Addr: `127.0.0.1:${server.address().port}` }));
});
server.keepAliveTimeout = 0; // connections wait for their turn
createInterface({ input: process.stdin })
  .on("line", () => console.log(JSON.stringify({ Events: events, Last: JSON.stringify(last) })))
  .on("close", () => process.exit());
