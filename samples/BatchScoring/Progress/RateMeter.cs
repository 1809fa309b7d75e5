using System.Globalization;

namespace BatchScoring.Progress;

/// <summary>How fast rows are scored in this run and when the last will be.</summary>
internal sealed class RateMeter(int total, int done, TimeProvider time)
{
    private readonly long _start = time.GetTimestamp();
    private readonly int _doneBefore = done;

    public int Total => total;

    public int Done { get; private set; } = done;

    public int Bad { get; set; }

    public TimeSpan Elapsed => time.GetElapsedTime(_start);

    public double RowsPerSecond => (Done - _doneBefore) / Math.Max(Elapsed.TotalSeconds, 1e-3);

    public TimeSpan? Remaining => RowsPerSecond > 0 ? TimeSpan.FromSeconds(Math.Ceiling((total - Done) / RowsPerSecond)) : null;

    public void Add(bool bad)
    {
        Done++;
        Bad += bad ? 1 : 0;
    }

    public override string ToString() => string.Create(CultureInfo.InvariantCulture,
        $"{Done:N0}/{total:N0} rows, {100.0 * Done / Math.Max(total, 1):F1}%, {RowsPerSecond:N0} rows/s, ETA {Eta}, {Bad:N0} bad");

    public string Eta => Remaining?.ToString("c", CultureInfo.InvariantCulture) ?? "unknown";
}
