using System.Runtime.InteropServices;
using Microsoft.ML;
using Microsoft.ML.Trainers.LightGbm;
using Microsoft.ML.Transforms.Image;

namespace TrainAndScore;

/// <summary>
/// What ML.NET offers for pictures without a deep network: boosted trees on the pixels. LightGBM needs the system's libgomp1; without it
/// FastTree stands in, one model a class, with as many trees as the time allows.
/// </summary>
internal static class BoostedTrees
{
    private static readonly bool HasOpenMp = !OperatingSystem.IsLinux() || NativeLibrary.TryLoad("libgomp.so.1", out _);

    public static string Name => HasOpenMp ? "LightGBM on pixels" : "FastTree (40 trees a class) on pixels";

    public static IEstimator<ITransformer> On(MLContext context)
    {
        // The pictures are grey, so that their red channel has it all, and of 28 x 28 pixels already, which ExtractPixels cannot know.
        var pixels = context.Transforms.Conversion.MapValueToKey(nameof(LabelledPicture.Label))
            .Append(context.Transforms.LoadImages("Image", null, nameof(LabelledPicture.ImagePath)))
            .Append(context.Transforms.ResizeImages("Image", 28, 28))
            .Append(context.Transforms.ExtractPixels("Features", "Image", ImagePixelExtractingEstimator.ColorBits.Red))
            .AppendCacheCheckpoint(context);
        // One thread: OpenMP's threads wait for each other so busily that more of them take longer where cores are shared.
        var trainers = context.MulticlassClassification.Trainers;
        return HasOpenMp
            ? pixels.Append(trainers.LightGbm(new LightGbmMulticlassTrainer.Options { NumberOfThreads = 1 }))
            : pixels.Append(trainers.OneVersusAll(context.BinaryClassification.Trainers.FastTree(numberOfTrees: 40)));
    }
}
