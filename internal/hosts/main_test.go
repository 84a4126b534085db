package hosts

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
)

// TestMain looks for goroutines that the tests leave behind, their own or the
// handler's: every server and client is closed at the end of its test.
func TestMain(m *testing.M) {
	gin.SetMode(gin.ReleaseMode) // or it prints each route
	before := len(goroutines())
	code := m.Run()
	if left := settle(before); code == 0 && len(left) > before {
		fmt.Fprintf(os.Stderr, "%d goroutines before, %d after:\n\n%s\n", before, len(left), strings.Join(left, "\n\n"))
		code = 1
	}
	os.Exit(code)
}

// settle waits until no more than want goroutines run, or for a few seconds: a
// connection that was closed ends when the scheduler gets to it.
func settle(want int) (left []string) {
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if left = goroutines(); len(left) <= want || time.Now().After(deadline) {
			return left
		}
	}
}

// forGood are goroutines that a library starts once for the whole process, when
// it is first used, and never ends.
var forGood = []string{
	"github.com/gofiber/fiber/v2/utils.StartTimeStampUpdater",
	"github.com/gofiber/utils/v2.StartTimeStampUpdater",
	"github.com/valyala/fasthttp.updateServerDate",
	"github.com/valyala/fasthttp.init",
}

// goroutines returns the stacks of all that may have to end.
func goroutines() []string {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	return slices.DeleteFunc(strings.Split(strings.TrimSpace(string(stacks)), "\n\n"), func(stack string) bool {
		return slices.ContainsFunc(forGood, func(f string) bool { return strings.Contains(stack, f) })
	})
}
