using GenerateStory.Drawing;
using Microsoft.ML;
using Microsoft.ML.Data;
using Microsoft.ML.Transforms.Image;

namespace GenerateStory.Training;

/// <summary>A picture to train on, with captions that each leave out other attributes.</summary>
internal sealed class DrawnRow
{
    private const int CaptionCount = 8;

    // ML.NET asks for a size here; what counts is that of each picture.
    [ImageType(192, 192)]
    public required MLImage Image { get; init; }

    public required string[] Caption { get; init; }

    /// <summary>The data of pictures, which are drawn whenever it is read.</summary>
    public static IDataView Load(MLContext context, int count, int side) => context.Data.LoadFromEnumerable(Draw(count, side));

    /// <summary>Draws pictures in parallel, in order; held-back characters are in none of them.</summary>
    /// <param name="count">The number of pictures.</param>
    /// <param name="side">Their height and width in pixels.</param>
    private static ParallelQuery<DrawnRow> Draw(int count, int side) => Enumerable.Range(0, count).AsParallel().AsOrdered().Select(seed =>
    {
        var drawn = DrawnPicture.Next(seed, isHeldBack: false);
        using var picture = PictureDrawing.Draw(drawn, side);
        var random = new Random(drawn.Seed);
        return new DrawnRow
        {
            Image = MLImage.CreateFromPixels(side, side, MLPixelFormat.Rgba32, picture.GetPixelSpan()),
            Caption = [.. Enumerable.Range(0, CaptionCount).Select(_ => Drawing.Caption.Of(drawn, random))],
        };
    });
}
