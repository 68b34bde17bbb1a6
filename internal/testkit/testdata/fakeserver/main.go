// Command fakeserver stands in for the real binary in the tests of testkit.
package main

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

func main() {
	if len(os.Args) < 2 || os.Args[1] != "serve" {
		in, err := io.ReadAll(os.Stdin)
		fmt.Printf("args %s, stdin %s, %v\n", strings.Join(os.Args[1:], " "), in, err)
		os.Exit(2)
	}
	config, err := os.ReadFile(os.Args[3])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Fprintf(os.Stderr, "config: %s\n", config)
	if strings.Contains(string(config), "broken") {
		os.Exit(1)
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	fmt.Println("ready")
	<-stop
	fmt.Fprintln(os.Stderr, "stopped")
	if strings.Contains(string(config), "dirty") {
		os.Exit(3)
	}
}
