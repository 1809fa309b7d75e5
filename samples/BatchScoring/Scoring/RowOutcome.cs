namespace BatchScoring.Scoring;

/// <summary>What became of one input file.</summary>
internal enum RowStatus
{
    Ok,

    /// <summary>There is no such file.</summary>
    Missing,

    /// <summary>The file is there, but is not what the model reads.</summary>
    Corrupt,

    /// <summary>The file may be fine; the pipeline did not score it.</summary>
    Failed,
}

/// <param name="Status">Whether the row has scores.</param>
/// <param name="Error">Why not.</param>
internal readonly record struct RowOutcome(RowStatus Status, string? Error = null)
{
    public static readonly RowOutcome Ok = new(RowStatus.Ok);

    public bool IsBad => Status != RowStatus.Ok;

    /// <summary>The status as it stands in the output.</summary>
    public string StatusText => Status switch
    {
        RowStatus.Ok => "ok",
        RowStatus.Missing => "missing",
        RowStatus.Corrupt => "corrupt",
        _ => "failed",
    };
}
