namespace Microsoft.ML.Attention.Onnx.Kernels.Cpu;

/// <summary>
/// How the rows of the tokens of one head are laid out for products: as panels [R, width, columns], which vectors of tokens are read
/// from, and as rows [R, T, padded width]. T is <see cref="RegionLayout.Tokens"/>.
/// </summary>
/// <param name="Tokens">Tokens of a region.</param>
/// <param name="VectorWidth">Elements in a vector.</param>
internal readonly record struct RegionPanels(int Tokens, int VectorWidth)
{
    private const int ScoresTogether = 8192;

    /// <summary>
    /// Tokens of a region with those that fill the last vector; where a region is smaller than a vector, the next power of two, which
    /// is the part of a vector that it gets.
    /// </summary>
    public int Columns { get; } = Tokens < VectorWidth ? (int)System.Numerics.BitOperations.RoundUpToPowerOf2((uint)Tokens) : RoundUp(Tokens, VectorWidth);

    /// <summary>Regions that fill a vector.</summary>
    public int RegionsPerVector => Math.Max(1, VectorWidth / Columns);

    /// <summary>Rows of scores come in multiples of this.</summary>
    public int RowUnit => Math.Max(4, RegionsPerVector);

    /// <summary>Columns of the scores against a number of regions.</summary>
    public int ScoreColumns(int regions) => RoundUp(regions * Columns, VectorWidth);

    /// <summary>Rows of scores that are worked on together, so that they stay in the first cache.</summary>
    public int RowsTogether(int regions) =>
        Math.Clamp(ScoresTogether / ScoreColumns(regions) / RowUnit * RowUnit, RowUnit, RoundUp(Tokens, RowUnit));

    public int PaddedWidth(int width) => RoundUp(width, VectorWidth);

    public static int RoundUp(int value, int unit) => (value + unit - 1) / unit * unit;
}
