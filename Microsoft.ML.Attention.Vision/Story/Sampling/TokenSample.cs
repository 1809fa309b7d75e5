namespace Microsoft.ML.Attention.Vision;

/// <summary>Which tokens of each picture others may attend to, at one resolution and in one step.</summary>
/// <param name="isShared">For each picture and token of it whether it is in the sample, [pictures * tokens].</param>
/// <param name="tokenCount">The number of tokens of a picture.</param>
internal sealed class TokenSample(bool[] isShared, int tokenCount)
{
    public int TokenCount => tokenCount;

    /// <summary>The tokens whose draw is less than the share.</summary>
    public static TokenSample Of(ReadOnlySpan<float> uniform, float share, int tokenCount)
    {
        var isShared = new bool[uniform.Length];
        for (var i = 0; i < isShared.Length; i++)
            isShared[i] = uniform[i] < share;
        return new(isShared, tokenCount);
    }

    /// <summary>The shared tokens of some pictures, counted through from the first token of the first of them.</summary>
    public long[] Indices(Range pictures)
    {
        var shared = Of(pictures);
        var indices = new List<long>(shared.Length);
        for (var i = 0; i < shared.Length; i++)
        {
            if (shared[i])
                indices.Add(i);
        }
        return [.. indices];
    }

    /// <summary>
    /// The keys that pictures of one batch may attend to: all of the bank, their own and the shared ones of the others.
    /// </summary>
    /// <param name="pictures">The pictures of the batch.</param>
    /// <param name="bankLength">The number of tokens in the bank.</param>
    /// <returns>[pictures, bank + pictures * tokens]</returns>
    public bool[] Mask(Range pictures, int bankLength) => Mask(Of(pictures), tokenCount, bankLength);

    /// <summary>The same where pictures see nothing of each other.</summary>
    public static bool[] Apart(int pictureCount, int tokenCount, int bankLength) =>
        Mask(new bool[pictureCount * tokenCount], tokenCount, bankLength);

    private ReadOnlySpan<bool> Of(Range pictures) =>
        isShared.AsSpan((pictures.Start.Value * tokenCount)..(pictures.End.Value * tokenCount));

    private static bool[] Mask(ReadOnlySpan<bool> shared, int tokenCount, int bankLength)
    {
        var width = bankLength + shared.Length;
        var mask = new bool[shared.Length / tokenCount * width];
        for (var row = 0; row < shared.Length / tokenCount; row++)
        {
            var keys = mask.AsSpan(row * width, width);
            keys[..bankLength].Fill(true);
            shared.CopyTo(keys[bankLength..]);
            keys.Slice(bankLength + row * tokenCount, tokenCount).Fill(true);
        }
        return mask;
    }
}
