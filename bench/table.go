package bench

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// Write prints a report for people.
func (r *Report) Write(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name, format string, values ...any) {
		fmt.Fprintf(w, name+"\t"+format+"\n", values...)
	}
	row("scenario", "%s, %s: %d clients in %d rooms, %d publishers, %s", r.Scenario, r.Protocol, r.Clients, r.Rooms, r.Publishers, r.asked())
	row("clients", "%d joined in %.2f s, %d failed, %d disconnected", r.Joined, r.JoinSeconds, r.Failed, r.Disconnected)
	if r.Slow > 0 {
		row("slow", "%d more that read nothing, %d of them disconnected", r.Slow, r.SlowCut)
	}
	if r.FirstError != "" {
		row("first error", "%s", r.FirstError)
	}
	if m := r.Messages; m != nil {
		row("messages", "%d sent, %d of %d deliveries", m.Sent, m.Delivered, m.Expected)
		row("faults", "%d lost, %d doubled, %d out of order, %d stray, %d damaged", m.Lost, m.Doubled, m.OutOfOrder, m.Stray, m.Damaged)
	}
	if r.Scenario == Ramp {
		r.writeSteps(w)
	} else {
		r.writeMeasured(row)
	}
	for _, s := range r.Servers {
		row(fmt.Sprint("server ", s.PID), "%.2f s CPU, %.1f MB (PSS), %.1f MB before the clients", s.CPU, megabytes(s.PSS), megabytes(s.PSSBefore))
	}
	if len(r.Servers) > 0 && r.Scenario == Idle {
		row("memory", "%.0f bytes of the servers a connection", r.BytesPerConnection)
	}
	for _, text := range r.Warnings {
		row("warning", "%s", text)
	}
	return w.Flush()
}

func (r *Report) writeMeasured(row func(name, format string, values ...any)) {
	if r.Messages != nil {
		row("measured", "%.1f s, %.0f deliveries/s", r.Duration, r.PerSecond)
	} else {
		row("measured", "%.1f s", r.Duration)
	}
	for _, l := range []struct {
		name  string
		value *Latency
	}{{"latency", r.Latency}, {"to joined", r.TimeToJoined}, {"sent late", r.SendLag}} {
		if l.value != nil {
			row(l.name, "%s", l.value)
		}
	}
	if len(r.Servers) > 0 && r.PerSecond > 0 {
		row("server CPU", "%.2f us a delivery", r.ServerCPU)
	}
	if r.Scenario == Connect && len(r.Servers) > 0 {
		row("server CPU", "%.0f us a connection", r.ServerCPUConnection)
	}
	if r.Messages != nil {
		row("generator CPU", "%.2f us a delivery, loops busy %.0f %%", r.Generator.PerDelivery, 100*r.Generator.Busy)
	} else {
		row("generator CPU", "%.2f s, loops busy %.0f %%", r.Generator.CPU, 100*r.Generator.Busy)
	}
}

func (r *Report) writeSteps(w io.Writer) {
	fmt.Fprintf(w, "held\t%.0f messages/s\n", r.HeldRate)
	fmt.Fprintln(w, "\nRATE\tHELD\tDELIVERIES/S\tP50\tP99\tMAX\tMISSING\tSERVER\tGENERATOR\tBUSY")
	for _, s := range r.Steps {
		held := "yes"
		switch {
		case !s.Held && s.GeneratorLimited:
			held = "no, the generator?"
		case !s.Held:
			held = "no"
		}
		fmt.Fprintf(w, "%.0f\t%s\t%.0f\t%s\t%s\t%s\t%d\t%.2f us\t%.2f us\t%.0f %%\n", s.Rate, held, s.PerSecond,
			span3(s.Latency.P50), span3(s.Latency.P99), span3(s.Latency.Max), s.Missing, s.ServerCPU, s.GeneratorCPU, 100*s.Busy)
	}
	fmt.Fprintln(w)
}

func (r *Report) asked() string {
	switch {
	case r.Scenario == Idle:
		return "silent"
	case r.Scenario == Connect:
		return fmt.Sprintf("%g connections/s", r.Rate)
	case r.Rate == 0:
		return fmt.Sprintf("as many messages/s as come, %d bytes", r.Size)
	}
	return fmt.Sprintf("%g messages/s of %d bytes", r.Rate, r.Size)
}

// String is the line of a table.
func (l *Latency) String() string {
	return fmt.Sprintf("p50 %s, p90 %s, p99 %s, p99.9 %s, max %s", span3(l.P50), span3(l.P90), span3(l.P99), span3(l.P999), span3(l.Max))
}

// span3 is milliseconds with three digits.
func span3(ms float64) string {
	switch {
	case ms < 0:
		return "never"
	case ms < 10:
		return fmt.Sprintf("%.2f ms", ms)
	case ms < 100:
		return fmt.Sprintf("%.1f ms", ms)
	}
	return fmt.Sprintf("%.0f ms", ms)
}

func megabytes(bytes int64) float64 { return float64(bytes) / (1 << 20) }
