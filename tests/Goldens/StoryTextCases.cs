using System.IO.Compression;
using System.Text.Json;
using Microsoft.ML.Attention.Vision;

namespace Microsoft.ML.Attention.Onnx.Goldens;

/// <summary>StoryDiffusion's text: CLIP's tokenizer in its three published cleanings, with all merges and with a few.</summary>
internal sealed class StoryTextCases : ComputedCases
{
    private const int TextLength = 77;

    private static readonly (string Name, ClipTextCleaning Cleaning)[] Cleanings =
    [
        ("openai", ClipTextCleaning.OpenAI), ("hf_slow", ClipTextCleaning.HuggingFace), ("hf_fast", ClipTextCleaning.HuggingFaceFast),
    ];

    protected override IReadOnlyDictionary<string, Tensor> Compute(GoldenCase golden)
    {
        string[] texts = [.. golden.Config.GetProperty("texts").EnumerateArray().Select(text => text.GetString()!)];
        var merges = Merges(golden);
        var outputs = new Dictionary<string, Tensor>();
        foreach (var (name, cleaning) in Cleanings.Where(entry => golden.Expected.ContainsKey($"output:{entry.Name}.ids")))
        {
            var tokenizer = ClipTokenizer.FromMerges(merges, cleaning);
            var tokens = Array.ConvertAll(texts, tokenizer.Tokenize);
            int[] ids = [.. tokens.SelectMany(list => list)];
            int[] offsets = [0, .. tokens.Select((_, i) => tokens[..(i + 1)].Sum(list => list.Count))];
            outputs[$"{name}.ids"] = Tensor.Create<int>(ids, ids.Length);
            outputs[$"{name}.offsets"] = Tensor.Create<int>(offsets, offsets.Length);
        }
        outputs["padded_1"] = Padded(ClipTokenizer.FromMerges(merges), texts);
        outputs["padded_2"] = Padded(ClipTokenizer.FromMerges(merges, padding: "!"), texts);
        return outputs;
    }

    private static Tensor Padded(ClipTokenizer tokenizer, string[] texts)
    {
        var tokens = new int[texts.Length * TextLength];
        for (var i = 0; i < texts.Length; i++)
            tokenizer.Encode(texts[i], tokens.AsSpan(i * TextLength, TextLength));
        return Tensor.Create<int>(tokens, texts.Length, TextLength);
    }

    private static (string, string)[] Merges(GoldenCase golden)
    {
        var merges = golden.Config.GetProperty("merges");
        if (merges.ValueKind == JsonValueKind.Array)
            return [.. merges.EnumerateArray().Select(pair => (pair[0].GetString()!, pair[1].GetString()!))];
        using var file = new GZipStream(File.OpenRead(Path.Combine(golden.Folder, "clip_merges.txt.gz")), CompressionMode.Decompress);
        using var reader = new StreamReader(file);
        return [.. ClipTokenizer.ReadMerges(reader.ReadToEnd().Split('\n'))];
    }
}
