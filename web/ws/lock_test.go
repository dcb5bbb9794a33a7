package ws

import (
	"slices"
	"testing"
	"testing/synctest"
)

func TestLockGoesToWhoHasWaitedLongest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l lock
		if !l.tryLock() || l.tryLock() {
			t.Fatal("tryLock does not get a free lock, or gets one that is held")
		}
		var got []int
		for i := range 5 {
			go func() {
				l.lock()
				got = append(got, i)
				synctest.Wait() // the others wait still
				l.unlock()
			}()
			synctest.Wait()
		}
		l.unlock()
		l.lock()
		if want := []int{0, 1, 2, 3, 4}; !slices.Equal(got, want) {
			t.Errorf("the lock went to %v, want %v", got, want)
		}
		l.unlock()
		if !l.tryLock() {
			t.Error("the lock is not free when all have had it")
		}
	})
}
