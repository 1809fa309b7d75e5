using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Vision;
using Microsoft.ML.OnnxRuntime;

namespace GenerateStory.Reading;

/// <summary>
/// Reads the attributes of pictures, drawn or generated ones, with a small net that <see cref="ReaderTraining"/> trained.
/// </summary>
internal sealed class AttributeReader : IDisposable
{
    private readonly InferenceSession _session;

    public AttributeReader(byte[] model)
    {
        using var options = new SessionOptions();
        KernelLibrary.Register(options);
        _session = new(model, options);
    }

    /// <summary>Opens the reader that comes with the sample.</summary>
    public static AttributeReader Open() => new(File.ReadAllBytes(Path.Combine(AppContext.BaseDirectory, "reader.onnx")));

    /// <summary>Reads pictures of 64 x 64 pixels, <see cref="ReaderInput"/>.</summary>
    /// <param name="pictures">[N, 3, 64, 64]</param>
    /// <returns>For each picture the index of the value of each of <see cref="PictureAttribute.All"/>.</returns>
    public int[][] Read(float[] pictures)
    {
        var count = pictures.Length / ReaderInput.Length;
        using var input = OrtValue.CreateTensorValueFromMemory(pictures, [count, 3, ReaderInput.Side, ReaderInput.Side]);
        using var run = new RunOptions();
        using var outputs = _session.Run(run, ["x"], [input], ["logits"]);
        var logits = outputs[0].GetTensorDataAsSpan<float>();
        var width = logits.Length / count;
        var read = new int[count][];
        for (var i = 0; i < count; i++)
            read[i] = Best(logits.Slice(i * width, width));
        return read;
    }

    /// <summary>Reads the pictures of a story.</summary>
    public int[][] Read(Story story)
    {
        var pictures = new float[story.Pictures.Count * ReaderInput.Length];
        foreach (var (i, picture) in story.Pictures.Index())
            ReaderInput.Shrink(picture.Image.Pixels, picture.Image.Width, pictures.AsSpan(i * ReaderInput.Length, ReaderInput.Length));
        return Read(pictures);
    }

    public void Dispose() => _session.Dispose();

    private static int[] Best(ReadOnlySpan<float> logits)
    {
        var best = new int[PictureAttribute.All.Count];
        for (int i = 0, start = 0; i < best.Length; start += PictureAttribute.All[i++].Values.Count)
        {
            var part = logits.Slice(start, PictureAttribute.All[i].Values.Count);
            for (var j = 1; j < part.Length; j++)
                best[i] = part[j] > part[best[i]] ? j : best[i];
        }
        return best;
    }
}
