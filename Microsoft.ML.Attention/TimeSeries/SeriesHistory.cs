namespace Microsoft.ML.Attention;

/// <summary>
/// What a bin tells, besides the value, of all that was measured of a continuous variable with <see cref="SeriesVariable.HasFlag"/> up to
/// the end of that bin.
/// </summary>
[Flags]
public enum SeriesHistory
{
    /// <summary>Nothing, as published.</summary>
    None = 0,

    /// <summary>How long ago the last measurement was, in shares of all bins; 1 before the first one.</summary>
    Age = 1,

    /// <summary>The least and the largest value.</summary>
    Range = 2,

    /// <summary>The mean of the values.</summary>
    Mean = 4,

    /// <summary>The logarithm of 1 + the number of measurements.</summary>
    Count = 8,
}

/// <summary>What was measured of a variable, bin after bin.</summary>
internal struct VariableHistory
{
    private int _count;
    private int _lastBin;
    private double _sum;
    private float _least;
    private float _largest;

    /// <summary>The columns that tell of it.</summary>
    public static int ColumnCount(SeriesHistory told) =>
        Has(told, SeriesHistory.Age) + (2 * Has(told, SeriesHistory.Range)) + Has(told, SeriesHistory.Mean) + Has(told, SeriesHistory.Count);

    public void Add(float value, int bin)
    {
        (_least, _largest) = _count == 0 ? (value, value) : (Math.Min(_least, value), Math.Max(_largest, value));
        (_count, _lastBin, _sum) = (_count + 1, bin, _sum + value);
    }

    public readonly int Count => _count;

    public readonly int LastBin => _lastBin;

    public readonly float Least => _least;

    public readonly float Largest => _largest;

    public readonly float Mean => (float)(_sum / _count);

    private static int Has(SeriesHistory told, SeriesHistory one) => told.HasFlag(one) ? 1 : 0;
}
