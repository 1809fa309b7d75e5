using System.Diagnostics;
using GenerateStory.Drawing;
using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace GenerateStory.Reading;

/// <summary>
/// Trains the reader: one net with a group of classes for each attribute, on pictures that are drawn when they are needed, none twice.
/// </summary>
/// <param name="side">Height and width of the drawn pictures in pixels.</param>
/// <param name="batchSize">Pictures a step.</param>
/// <param name="cudaDevice">The CUDA device to train on; null for the CPU.</param>
internal sealed class ReaderTraining(int side, int batchSize, int? cudaDevice)
{
    private const float Noise = 0.08f, PeakRate = 2e-3f;

    private static readonly ResNetConfig Net = ResNet.Variants["resnet_ela_nano"] with
    {
        Widths = [32, 64, 96],
        ClassCount = PictureAttribute.All.Sum(attribute => attribute.Values.Count),
    };

    /// <summary>Trains until so many steps or so much time have gone by.</summary>
    public OnnxModel Run(int stepCount, TimeSpan limit)
    {
        var graph = TrainingGraph.Build(
            Net.Build(new RandomWeights(1), ReaderInput.Side, ReaderInput.Side),
            new Dictionary<string, long> { ["N"] = batchSize },
            Loss,
            new() { Optimizer = new AdamW { ClipNorm = 1 } });
        using var options = new SessionOptions();
        if (cudaDevice is { } device)
            options.AppendExecutionProvider_CUDA(device);
        KernelLibrary.Register(options, cuda: cudaDevice is not null);
        using var trainer = new Trainer(graph, options, cudaDevice, seed: 1);
        var clock = Stopwatch.StartNew();
        var next = Task.Run(() => Draw(0));
        for (var step = 0; step < stepCount && clock.Elapsed < limit; step++)
        {
            var (pictures, labels) = next.Result;
            var following = step + 1;
            next = Task.Run(() => Draw(following));
            pictures.CopyTo(trainer.Input<float>("x"));
            labels.CopyTo(trainer.Input<long>("labels"));
            var done = Math.Max((double)step / stepCount, clock.Elapsed / limit);
            trainer.Step((float)(PeakRate * Math.Min(1, (step + 1) / 100.0) * 0.5 * (1 + Math.Cos(Math.PI * done))));
        }
        next.Wait();
        return trainer.Export();
    }

    /// <summary>The share of right answers for each attribute on drawings of characters that no training picture shows.</summary>
    public static double[] Measure(AttributeReader reader, int side, int count)
    {
        const int FirstSeed = 1_500_000_000;
        var right = new double[PictureAttribute.All.Count];
        Parallel.For(0, count, i =>
        {
            var drawn = DrawnPicture.Next(FirstSeed + i, isHeldBack: true) with { Company = Company.One };
            var values = new float[ReaderInput.Length];
            using var picture = PictureDrawing.Draw(drawn, side);
            ReaderInput.Shrink(picture.GetPixelSpan(), side, values);
            var read = reader.Read(values)[0];
            lock (right)
            {
                for (var j = 0; j < right.Length; j++)
                    right[j] += read[j] == PictureAttribute.All[j].Of(drawn) ? 1.0 / count : 0;
            }
        });
        return right;
    }

    private static Value Loss(GraphBuilder builder, IReadOnlyDictionary<string, Value> outputs)
    {
        var logits = outputs["logits"];
        var labels = builder.Input("labels", TensorElementType.Int64, [logits.Shape[0], PictureAttribute.All.Count]);
        var parts = logits.Split(1, [.. PictureAttribute.All.Select(attribute => (long)attribute.Values.Count)]);
        Value? sum = null;
        for (var i = 0; i < parts.Length; i++)
        {
            var loss = Losses.CrossEntropy(parts[i], labels.Slice(1, i, i + 1).Squeeze(1));
            sum = sum is null ? loss : sum + loss;
        }
        return sum!;
    }

    private (float[] Pictures, long[] Labels) Draw(int step)
    {
        var (pictures, labels) = (new float[batchSize * ReaderInput.Length], new long[batchSize * PictureAttribute.All.Count]);
        Parallel.For(0, batchSize, i =>
        {
            var drawn = DrawnPicture.Next((step * batchSize) + i, isHeldBack: false) with { Company = Company.One };
            using var picture = PictureDrawing.Draw(drawn, side);
            var values = pictures.AsSpan(i * ReaderInput.Length, ReaderInput.Length);
            ReaderInput.Shrink(picture.GetPixelSpan(), side, values);
            // Generated pictures are not as clean as drawn ones.
            var random = new Random(drawn.Seed);
            var strength = Noise * random.NextSingle();
            foreach (ref var value in values)
                value += strength * ((2 * random.NextSingle()) - 1);
            for (var j = 0; j < PictureAttribute.All.Count; j++)
                labels[(i * PictureAttribute.All.Count) + j] = PictureAttribute.All[j].Of(drawn);
        });
        return (pictures, labels);
    }
}
