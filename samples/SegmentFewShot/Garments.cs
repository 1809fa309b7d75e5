using Samples.Data;
using SkiaSharp;

namespace SegmentFewShot;

/// <summary>Photographs of single garments by class: bright on black, 28 x 28 grey levels each.</summary>
internal sealed class Garments
{
    public const int Side = 28;

    private readonly List<byte[]>[] _ofClass = [.. Fold.Classes.Select(_ => new List<byte[]>())];

    /// <summary>How many there are.</summary>
    public int Count => _ofClass.Sum(members => members.Count);

    public byte[] Draw(int number, Random random) => _ofClass[number][random.Next(_ofClass[number].Count)];

    /// <summary>
    /// Reads a split, <c>train</c> or <c>test</c>: all of Fashion-MNIST where the folder has its files, else the pictures that the sample
    /// comes with.
    /// </summary>
    public static Garments Read(string folder, string split)
    {
        var garments = new Garments();
        var prefix = Path.Combine(folder, split == "test" ? "t10k" : split);
        if (File.Exists(prefix + "-images-idx3-ubyte.gz"))
            garments.AddFiles(prefix);
        else
            garments.AddSheets(Path.Combine(AppContext.BaseDirectory, "fashion-mnist", split));
        return garments;
    }

    private void AddFiles(string prefix)
    {
        var (_, pixels) = IdxFile.Read(prefix + "-images-idx3-ubyte.gz");
        var (_, classes) = IdxFile.Read(prefix + "-labels-idx1-ubyte.gz");
        foreach (var (number, grey) in classes.Zip(pixels.Chunk(Side * Side)))
            _ofClass[number].Add(grey);
    }

    private void AddSheets(string folder)
    {
        for (var number = 0; number < _ofClass.Length; number++)
        {
            using var sheet = SKBitmap.Decode(Path.Combine(folder, Fold.Classes[number] + ".png"));
            var columns = sheet.Width / Side;
            for (var i = 0; i < columns * (sheet.Height / Side); i++)
            {
                var (left, top) = (i % columns * Side, i / columns * Side);
                _ofClass[number].Add([.. Enumerable.Range(0, Side * Side)
                    .Select(pixel => sheet.GetPixel(left + (pixel % Side), top + (pixel / Side)).Red)]);
            }
        }
    }
}
