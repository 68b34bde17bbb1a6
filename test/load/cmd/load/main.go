// Command load sends mail to servers on loopback, receives it, reads it, and
// measures how fast that goes.
package main

import (
	"context"
	"os"

	"github.com/hayauma/hayauma/internal/timerslack"
	"github.com/hayauma/hayauma/test/load"
)

func main() {
	timerslack.Widen()
	os.Exit(load.Run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}
