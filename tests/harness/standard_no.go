//go:build !std

package harness

import "testing"

func standard(string) {}

func (c *Client) ApplyStandard(t testing.TB) {}
