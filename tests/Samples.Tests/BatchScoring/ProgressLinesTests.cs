using BatchScoring.Progress;

namespace Samples.Tests.BatchScoring;

public sealed class ProgressLinesTests
{
    [Fact]
    public void Lines_TellRateAndTimeLeft()
    {
        var time = new ManualTime();
        var meter = new RateMeter(total: 100, done: 20, time);
        var lines = new StringWriter();

        new ProgressLines(lines, TimeSpan.FromSeconds(10)).Show(meter, changed =>
        {
            for (var row = 0; row < 80; row++)
            {
                time.Now += TimeSpan.FromSeconds(0.5);
                meter.Add(bad: row == 0);
                changed();
            }
        });

        Assert.Equal(
        [
            "40/100 rows, 40.0%, 2 rows/s, ETA 00:00:30, 1 bad",
            "60/100 rows, 60.0%, 2 rows/s, ETA 00:00:20, 1 bad",
            "80/100 rows, 80.0%, 2 rows/s, ETA 00:00:10, 1 bad",
            "100/100 rows, 100.0%, 2 rows/s, ETA 00:00:00, 1 bad",
        ], lines.ToString().Split(Environment.NewLine, StringSplitOptions.RemoveEmptyEntries));
    }

    private sealed class ManualTime : TimeProvider
    {
        public TimeSpan Now { get; set; }

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public override long GetTimestamp() => Now.Ticks;
    }
}
