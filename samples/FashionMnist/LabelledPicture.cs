using Microsoft.ML;
using Microsoft.ML.Data;
using Microsoft.ML.Transforms.Image;
using Samples.Data;

namespace FashionMnist;

/// <summary>A row of the data set.</summary>
internal sealed class LabelledPicture
{
    private const int Side = 28;

    public static readonly IReadOnlyList<string> Classes =
        ["t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot"];

    [ImageType(Side, Side)]
    public MLImage Image { get; set; } = null!;

    public string Label { get; set; } = "";

    /// <summary>The pictures of a split, <c>train</c> or <c>t10k</c>.</summary>
    /// <exception cref="DirectoryNotFoundException">The folder lacks the files; the message says where they come from.</exception>
    public static IReadOnlyList<LabelledPicture> Read(string folder, string split)
    {
        var (pictures, labels) = ($"{folder}/{split}-images-idx3-ubyte.gz", $"{folder}/{split}-labels-idx1-ubyte.gz");
        if (!File.Exists(pictures) || !File.Exists(labels))
        {
            throw new DirectoryNotFoundException($"'{folder}' has no {Path.GetFileName(pictures)} and {Path.GetFileName(labels)}: install "
                + "Debian's package dataset-fashion-mnist, or give the folder with --data.");
        }
        var (dims, grey) = IdxFile.Read(pictures);
        var (_, classes) = IdxFile.Read(labels);
        if (dims is not [var count, Side, Side] || count != classes.Length)
            throw new InvalidDataException($"'{pictures}' holds [{string.Join(", ", dims)}] pixels for {classes.Length} labels.");
        return [.. classes.Select((label, row) => new LabelledPicture
        {
            Image = FromGrey(grey.AsSpan(row * Side * Side, Side * Side)),
            Label = Classes[label],
        })];
    }

    private static MLImage FromGrey(ReadOnlySpan<byte> grey)
    {
        Span<byte> pixels = stackalloc byte[grey.Length * 4];
        for (var i = 0; i < grey.Length; i++)
        {
            pixels.Slice(4 * i, 3).Fill(grey[i]);
            pixels[(4 * i) + 3] = byte.MaxValue;
        }
        return MLImage.CreateFromPixels(Side, Side, MLPixelFormat.Bgra32, pixels);
    }
}
