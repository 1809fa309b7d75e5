using Microsoft.ML;
using Microsoft.ML.Attention;
using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.Attention.Vision;
using Microsoft.ML.OnnxRuntime.Tensors;
using SkiaSharp;

namespace Benchmarks;

/// <summary>
/// Trains on JPEG files of 500 x 375 pixels and reports what share of the time the model waits for pictures. Without a model's name the
/// model costs next to nothing, so that the pictures a second are what decoding, augmenting and batching give.
/// </summary>
internal static class PictureBenchmark
{
    private static readonly (string Name, ImageAugmentation Augmentation, Mixing? Mixing, bool Kept)[] Recipes =
    [
        ("flip, decoded in each epoch", ImageAugmentation.Flip, null, false),
        ("flip, kept in memory", ImageAugmentation.Flip, null, true),
        ("crop, flip, erasing, decoded in each epoch", ImageAugmentation.ImageNet, null, false),
        ("crop, flip, erasing, kept in memory", ImageAugmentation.ImageNet, null, true),
        ("the same with RandAugment, mixup and CutMix, decoded in each epoch", ImageAugmentation.ImageNetStrong, Mixing.Usual, false),
        ("the same with RandAugment, mixup and CutMix, kept in memory", ImageAugmentation.ImageNetStrong, Mixing.Usual, true),
    ];

    public static int Run(string[] args)
    {
        var cuda = Machine.Option(args, "--device", "cpu") == "cuda";
        var name = Machine.Option(args, "--model", "");
        var batch = Machine.Option(args, "--batch", cuda ? 128 : 32);
        var count = Machine.Option(args, "--pictures", cuda ? 4096 : 512);
        var folder = Directory.CreateTempSubdirectory("pictures");
        try
        {
            Machine.Print();
            WriteJpegs(folder.FullName, count);
            var model = Path.Combine(folder.FullName, "pooling.onnx");
            Pooling().Save(model);
            Console.WriteLine();
            Console.WriteLine($"{(name.Length > 0 ? name : "pooling")}, 224 x 224, batch {batch}, {count} JPEG files");
            Console.WriteLine("| recipe | pictures/s | share of waiting |");
            Console.WriteLine("|---|---|---|");
            foreach (var (recipe, augmentation, mixing, kept) in Recipes)
            {
                var ml = new MLContext(seed: 1);
                var data = ml.Data.LoadFromEnumerable(Enumerable.Range(0, count).Select(i => new Row { Image = $"{i}.jpg", Label = i % 10 }));
                var options = new ImageAttentionTrainer.Options
                {
                    ImageFolder = folder.FullName,
                    ModelFile = name.Length > 0 ? null : model,
                    Augmentation = augmentation,
                    Mixing = mixing,
                    PictureCacheBytes = kept ? 1L << 33 : 0,
                    BatchSize = batch,
                    EpochCount = 3,
                    Precision = Machine.Option(args, "--precision", "") == "amp" ? TrainingPrecision.Mixed : TrainingPrecision.Float32,
                    Scoring = new() { Session = new() { ExecutionProvider = cuda ? ExecutionProvider.Cuda : ExecutionProvider.Cpu } },
                };
                if (name.Length > 0)
                    options.Architecture = ImageClassifiers.Find(name);
                var trained = ml.Transforms.Conversion.MapValueToKey("Label")
                    .Append(ml.MulticlassClassification.Trainers.ImageAttention(options)).Fit(data);
                // The first epoch fills the memory; the last one is the rule.
                var epoch = trained.LastTransformer.Trace!.Epochs[^1];
                Console.WriteLine($"| {recipe} | {epoch.PicturesPerSecond:N0} | {epoch.WaitShare:P1} |");
            }
        }
        finally
        {
            folder.Delete(recursive: true);
        }
        return 0;
    }

    /// <summary>The mean of each channel and one linear layer.</summary>
    private static OnnxModel Pooling()
    {
        var graph = new GraphBuilder();
        var weight = new RandomWeights(1).Find("weight", [3, 10], Initialization.TruncatedNormal());
        graph.Output("logits", graph.Input("x", TensorElementType.Float, Shape.Create(["N", 3, 224, 224])).ReduceMean([2, 3])
            .MatMul(graph.Initializer("weight", weight)));
        return graph.ToModel();
    }

    /// <summary>Discs of random colours with a little noise: about as many bytes as photos of the size.</summary>
    private static void WriteJpegs(string folder, int count) => Parallel.For(0, count, i =>
    {
        var random = new Random(i);
        using var bitmap = new SKBitmap(500, 375);
        using (var canvas = new SKCanvas(bitmap))
        {
            for (var disc = 0; disc < 60; disc++)
            {
                using var paint = new SKPaint { Color = new SKColor((uint)random.Next() | 0xFF000000), IsAntialias = true };
                canvas.DrawCircle(random.Next(500), random.Next(375), random.Next(10, 120), paint);
            }
        }
        var pixels = bitmap.GetPixelSpan().ToArray();
        foreach (ref var level in pixels.AsSpan())
            level = (byte)Math.Clamp(level + random.Next(-8, 9), 0, 255);
        System.Runtime.InteropServices.Marshal.Copy(pixels, 0, bitmap.GetPixels(), pixels.Length);
        using var file = File.Create(Path.Combine(folder, $"{i}.jpg"));
        bitmap.Encode(file, SKEncodedImageFormat.Jpeg, 90);
    });

    private sealed class Row
    {
        public string Image { get; set; } = "";

        public int Label { get; set; }
    }
}
