using Microsoft.ML.Data;

namespace Microsoft.ML.Attention.Tests;

/// <summary>A row for <see cref="TestModels.DoubleAndSum"/>.</summary>
internal sealed class Row
{
    public int Index { get; set; }

    [VectorType(4)]
    [ColumnName("x")]
    public float[] X { get; set; } = [];

    public static Row Number(int i) => new() { Index = i, X = [i, i + 1, i + 2, i + 3] };

    public static List<Row> Numbers(int count) => [.. Enumerable.Range(0, count).Select(Number)];
}

internal sealed class Scored
{
    public int Index { get; set; }

    [ColumnName("double")]
    public float[] Double { get; set; } = [];

    [ColumnName("sum")]
    public float Sum { get; set; }
}
