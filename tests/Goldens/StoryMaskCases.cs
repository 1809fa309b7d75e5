using System.Text.Json;
using Microsoft.ML.Attention.Vision;

namespace Microsoft.ML.Attention.Onnx.Goldens;

/// <summary>The tokens of a story's pictures that others attend to, from given draws, as masks and as lists.</summary>
internal sealed class StoryMaskCases : ComputedCases
{
    // The first draw of lists.
    private const int FirstOfLists = 100;

    private static readonly int[] Levels = [32, 64];

    protected override IReadOnlyDictionary<string, Tensor> Compute(GoldenCase golden)
    {
        var outputs = new Dictionary<string, Tensor>();
        foreach (var story in golden.Config.EnumerateObject())
        {
            var number = int.Parse(story.Name);
            var count = story.Value.GetProperty("id_length").GetInt32();
            foreach (var (i, level) in Levels.Index())
            {
                var tokens = TokenCount(story.Value, level);
                var share = story.Value.GetProperty($"sa{level}").GetSingle();
                outputs[$"key_mask{level}.{number}"] = Mask(Sample((2 * number) + i, [1, (count + 1) * tokens]), count);
                var lists = Sample(FirstOfLists + (2 * number) + i, [count + 1, tokens]);
                for (var picture = 0; picture <= count; picture++)
                {
                    int[] list = [.. lists.Indices(picture..(picture + 1)).Select(token => (int)token)];
                    outputs[$"indices{level}.{number}.{picture}"] = Tensor.Create<int>(list, list.Length);
                }

                TokenSample Sample(int draw, long[] dims) =>
                    TokenSample.Of(ReferenceValues.Input($"rand.{draw}", dims, 0, 0, 1).AsSpan<float>(), share, tokens);
            }
        }
        return outputs;
    }

    private static int TokenCount(JsonElement story, int level)
    {
        var pixels = 32 * 32 / level;
        return story.GetProperty("height").GetInt32() / pixels * (story.GetProperty("width").GetInt32() / pixels);
    }

    // The pictures that are seen, in a batch without the one that only looks, and that one, which nobody sees.
    private static Tensor Mask(TokenSample sample, int count)
    {
        var (seen, all) = (count * sample.TokenCount, (count + 1) * sample.TokenCount);
        var mask = new byte[(count + 1) * all];
        var batch = sample.Mask(..count, bankLength: 0);
        for (var picture = 0; picture < count; picture++)
        {
            for (var key = 0; key < seen; key++)
                mask[(picture * all) + key] = batch[(picture * seen) + key] ? (byte)1 : (byte)0;
        }
        var looking = mask.AsSpan(count * all);
        foreach (var key in sample.Indices(..count))
            looking[(int)key] = 1;
        looking[seen..].Fill(1);
        return Tensor.Create<byte>(mask, count + 1, all);
    }
}
