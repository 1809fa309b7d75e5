namespace BatchScoring.Progress;

/// <summary>A line now and then, for logs.</summary>
internal sealed class ProgressLines(TextWriter writer, TimeSpan interval) : IProgressDisplay
{
    public void Show(RateMeter meter, Action<Action> work)
    {
        var next = interval;
        work(() =>
        {
            if (meter.Elapsed < next && meter.Done < meter.Total)
                return;
            writer.WriteLine(meter);
            next = meter.Elapsed + interval;
        });
    }
}
