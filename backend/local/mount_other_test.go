//go:build !linux

package local

import "errors"

func mountTmpfs(string, string) error { return errors.ErrUnsupported }

func remountReadOnly(string) error { return errors.ErrUnsupported }

func unmount(string) {}
