using System.Text.Json;
using Microsoft.ML.Attention.Vision;

namespace Microsoft.ML.Attention.Onnx.Goldens;

/// <summary>StoryDiffusion's comic pages, without captions.</summary>
internal sealed class StoryPageCases : ComputedCases
{
    protected override IReadOnlyDictionary<string, Tensor> Compute(GoldenCase golden)
    {
        var (outputs, seed) = (new Dictionary<string, Tensor>(), golden.Description.GetProperty("seed").GetInt32());
        foreach (var (i, entry) in golden.Config.GetProperty("cases").EnumerateArray().Index())
        {
            var pictures = Enumerable.Range(0, entry.GetProperty("images").GetInt32()).Select(j => Draw($"img.{i}.{j}", entry, seed)).ToArray();
            var filler = Draw($"pad.{i}", entry, seed);
            var pages = entry.GetProperty("type").GetString() == "classic"
                ? [ComicPages.Classic(pictures, filler, new PythonRandom(seed))]
                : ComicPages.FourPanels(pictures, filler);
            for (var page = 0; page < pages.Count; page++)
                outputs[$"page.{i}.{page}"] = ToTensor(pages[page]);
        }
        return outputs;
    }

    private static PagePicture Draw(string name, JsonElement entry, int seed)
    {
        var (height, width) = (entry.GetProperty("height").GetInt32(), entry.GetProperty("width").GetInt32());
        var values = ReferenceValues.Input(name, [4, 4, 3], seed, 0, 256).AsSpan<float>();
        var pixels = new byte[height * width * 4];
        for (var (y, i) = (0, 0); y < height; y++)
        {
            for (var x = 0; x < width; x++, i += 4)
            {
                var block = values.Slice((y * 4 / height * 4 + x * 4 / width) * 3, 3);
                (pixels[i], pixels[i + 1], pixels[i + 2], pixels[i + 3]) = ((byte)block[0], (byte)block[1], (byte)block[2], 255);
            }
        }
        return new(pixels, width, height);
    }

    private static Tensor ToTensor(PagePicture page)
    {
        var levels = new List<byte>();
        for (var y = 0; y < page.Height; y++)
            levels.AddRange(page.View.Row(y).ToArray().Where((_, i) => i % 4 < 3));
        return Tensor.Create<byte>([.. levels], page.Height, page.Width, 3);
    }
}
