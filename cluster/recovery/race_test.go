//go:build race

package recovery

func init() { raceDetector = true }
