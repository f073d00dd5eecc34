package boot

import "time"

// Alarm rings when its moment has come; after a suspension as late as the runtime's timers are.
type Alarm struct {
	C     <-chan struct{}
	timer *time.Timer
}

// NewAlarm returns an alarm that is not set.
func NewAlarm() (*Alarm, error) {
	ring := make(chan struct{}, 1)
	a := &Alarm{C: ring, timer: time.AfterFunc(time.Hour, func() {
		select {
		case ring <- struct{}{}:
		default:
		}
	})}
	a.timer.Stop()
	return a, nil
}

// Set lets the alarm ring at a moment of this clock, in place of the one set before.
func (a *Alarm) Set(moment time.Duration) error {
	a.timer.Reset(moment - Now())
	return nil
}

// Stop ends the alarm.
func (a *Alarm) Stop() { a.timer.Stop() }
