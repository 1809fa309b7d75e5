using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention;

/// <summary>How measurements at any times become the bins, of equal width, that a model reads.</summary>
public sealed record SeriesPreprocessing
{
    /// <summary>The bins of a series. Longer ones are cut (<see cref="Kept"/>), shorter ones go on as <see cref="Padding"/> says.</summary>
    public int BinCount { get; init; } = 48;

    /// <summary>
    /// The width of a bin, in the unit of the times: bin b holds what was measured later than <c>b * BinWidth</c> and no later than
    /// <c>(b + 1) * BinWidth</c>, the first one also time 0. Where a series has no times its rows come at 1, 2, 3 and so on.
    /// </summary>
    public float BinWidth { get; init; } = 1;

    /// <summary>Which end of a series that is too long the model sees.</summary>
    public SeriesEnd Kept { get; init; }

    /// <summary>What the bins after the end of a series hold.</summary>
    public SeriesPadding Padding { get; init; }

    /// <summary>What a bin holds of a variable that was not measured in it.</summary>
    public SeriesImputation Imputation { get; init; }

    /// <summary>What a bin tells, besides the value, of what was measured of a variable before.</summary>
    public SeriesHistory History { get; init; }

    /// <summary>The largest magnitude of a normalised value, to which larger ones are cut; null for no limit.</summary>
    public float? Limit { get; init; } = 10;

    internal void Validate()
    {
        if (BinCount < 1)
            throw new ArgumentException($"{nameof(BinCount)} is {BinCount}; it must be 1 or more.");
        if (!(BinWidth > 0))
            throw new ArgumentException($"{nameof(BinWidth)} is {BinWidth}; it must be positive.");
        if (Limit is <= 0)
            throw new ArgumentException($"{nameof(Limit)} is {Limit}; it must be positive, or null.");
    }

    internal void Save(ModelSaveContext context)
    {
        context.Writer.Write(BinCount);
        context.Writer.Write(BinWidth);
        context.Writer.Write((int)Kept);
        context.Writer.Write((int)Padding);
        context.Writer.Write((int)Imputation);
        context.Writer.Write((int)History);
        context.Writer.Write(Limit ?? float.NaN);
    }

    internal static SeriesPreprocessing Load(ModelLoadContext context) => new()
    {
        BinCount = context.Reader.ReadInt32(),
        BinWidth = context.Reader.ReadSingle(),
        Kept = (SeriesEnd)context.Reader.ReadInt32(),
        Padding = (SeriesPadding)context.Reader.ReadInt32(),
        Imputation = (SeriesImputation)context.Reader.ReadInt32(),
        History = (SeriesHistory)context.Reader.ReadInt32(),
        Limit = context.Reader.ReadSingle() is var limit && float.IsNaN(limit) ? null : limit,
    };
}

/// <summary>An end of a series.</summary>
public enum SeriesEnd
{
    /// <summary>The beginning of the series; what comes after the last bin is not seen.</summary>
    First = 0,

    /// <summary>
    /// The end of the series, such as the hours before a prediction; values of before the first bin count as measured in it.
    /// </summary>
    Last = 1,
}

/// <summary>What bins after the end of a series hold.</summary>
public enum SeriesPadding
{
    /// <summary>What bins without measurements hold.</summary>
    Impute = 0,

    /// <summary>Zeros, which is the mean of a normalised variable and no category at all.</summary>
    Zeros = 1,

    /// <summary>
    /// Zeros, which the temporal branch of the model does not look at, so that what it tells of a short series does not depend on them.
    /// </summary>
    Masked = 2,
}

/// <summary>What a bin holds of a variable that was not measured in it.</summary>
public enum SeriesImputation
{
    /// <summary>The last value before, or the normal value before the first one.</summary>
    Previous = 0,

    /// <summary>The next value after, or the normal value after the last one.</summary>
    Next = 1,

    /// <summary>The normal value.</summary>
    NormalValue = 2,

    /// <summary>0, before normalisation; no category of a categorical variable.</summary>
    Zero = 3,
}
