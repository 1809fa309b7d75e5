using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Tests.Models;

public class TscanTests
{
    private static readonly TscanConfig Small = new()
    {
        InputCount = 6, ColumnCount = 5, BinCount = 12, SegmentCount = 3, AttentionWidth = 8, HeadCount = 2, HiddenWidth = 8,
        Branches = TscanBranches.Temporal, MasksPadding = true,
    };

    [Theory]
    [InlineData("split48_tandf", 1_337_410)]
    [InlineData("split48_t", 3_649_421)]
    [InlineData("split48_f", 234_506)]
    [InlineData("split48_tandf_155", 3_887_512)]
    [InlineData("split320_tandf_155", 5_142_724)]
    [InlineData("transformer", 1_622_215)]
    public void Variants_have_the_published_number_of_parameters(string name, long count)
    {
        var model = Tscan.Build(Tscan.Variants[name], new RandomWeights(1));
        Assert.Equal(count, model.Graph.Initializers.Where(pair => Graph.IsWeight(pair.Key, pair.Value)).Sum(pair => pair.Value.ElementCount));
    }

    [Theory]
    [InlineData(2)] // a part of the first segment
    [InlineData(4)] // all of it
    [InlineData(7)]
    [InlineData(11)]
    public void What_is_padding_does_not_matter(int length)
    {
        var (first, second) = (Series(length, seed: 1), Series(length, seed: 2));
        second.AsSpan(0, length * Small.InputCount).Clear();
        first.AsSpan(0, length * Small.InputCount).CopyTo(second);
        Assert.NotEqual(first, second);
        Assert.Equal(Logit(Small, first), Logit(Small, second), 1e-6f);
        var seen = Small with { MasksPadding = false };
        Assert.NotEqual(Logit(seen, first), Logit(seen, second), 1e-4f);
    }

    [Fact]
    public void Without_padding_the_mask_changes_nothing()
    {
        var series = Series(Small.BinCount, seed: 1);
        Assert.Equal(Logit(Small with { MasksPadding = false }, series), Logit(Small, series), 1e-6f);
    }

    [Fact]
    public void A_series_of_padding_alone_has_a_number() => Assert.True(float.IsFinite(Logit(Small, Series(0, seed: 1))));

    [Fact]
    public void The_baseline_reads_the_first_bins_only()
    {
        var config = Small with { MasksPadding = false, ReadBinCount = 8, SegmentCount = 2, HasFirstPositions = false };
        var (first, second) = (Series(0, seed: 1), Series(0, seed: 2));
        first.AsSpan(0, 8 * config.InputCount).CopyTo(second);
        Assert.Equal(Logit(config, first), Logit(config, second));
        second[7 * config.InputCount] += 1;
        Assert.NotEqual(Logit(config, first), Logit(config, second), 1e-5f);
    }

    [Fact]
    public void What_does_not_fit_is_named()
    {
        Assert.Contains("MasksPadding", Fails(Small with { ColumnCount = 6 }));
        Assert.Contains("ReadBinCount is 7, not a multiple of SegmentCount, 3", Fails(Small with { ReadBinCount = 7 }));
        Assert.Contains("BinCount is 13", Fails(Small with { BinCount = 13 }));

        static string Fails(TscanConfig config) => Assert.Throws<ArgumentException>(() => Tscan.Build(config, new RandomWeights(1))).Message;
    }

    // [bins, inputs], whose last column is 1 for the bins that count.
    private static float[] Series(int length, int seed)
    {
        var random = new Random(seed);
        var series = new float[Small.BinCount * Small.InputCount];
        for (var i = 0; i < series.Length; i++)
            series[i] = (i + 1) % Small.InputCount == 0 ? (i / Small.InputCount < length ? 1 : 0) : (2 * random.NextSingle()) - 1;
        return series;
    }

    private static float Logit(TscanConfig config, float[] series) => SessionRunner.Run(
        Tscan.Build(config with { DropoutRate = 0 }, new RandomWeights(3)),
        new Dictionary<string, Tensor> { ["x"] = Tensor.Create<float>(series, 1, config.BinCount, config.InputCount) })["logits"].AsSpan<float>()[0];
}
