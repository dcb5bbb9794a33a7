//go:build !race

package port

func raceWrites() {}

func raceHasRead() {}
