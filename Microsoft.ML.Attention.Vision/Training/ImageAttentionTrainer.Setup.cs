using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention.Vision;

public sealed partial class ImageAttentionTrainer
{
    private const string LabelInput = "labels";
    private const string TargetInput = "targets";
    private const string CorrectMetric = "correct";

    /// <summary>What a training works with.</summary>
    private sealed record Run(
        StartingModel Model, Trainer Trainer, PictureBatches Batches, PictureCache Validation, int BatchSize) : IDisposable
    {
        /// <summary>Puts a batch into the inputs of the trainer.</summary>
        public PictureBatch Feed(PictureBatch batch)
        {
            batch.CopyPixels(Trainer.Input<float>(Model.Input));
            batch.Labels.CopyTo(Trainer.Input<long>(LabelInput));
            batch.Targets.CopyTo(Trainer.Input<float>(TargetInput));
            return batch;
        }

        public void Dispose() => Trainer.Dispose();
    }

    private LabelledPictures Read(IDataView data, ClassLabels labels, IChannel channel)
    {
        var pictures = _options.Images(ImagePreprocessing.ImageNet()).Bind(data.Schema);
        return LabelledPictures.Read(data, pictures, Columns.Label, labels.Count, channel, _options.Cancellation);
    }

    private Run Prepare(LabelledPictures samples, LabelledPictures validation, ClassLabels labels, int seed, IChannel channel)
    {
        if (samples.Count == 0)
            throw new InvalidOperationException("There is no picture with a label to train on.");
        if (samples.Count < _options.AccumulationSteps)
        {
            throw new InvalidOperationException($"{nameof(Options.AccumulationSteps)} is {_options.AccumulationSteps}, but there are "
                + $"{samples.Count} pictures to train on; lower it to that at most.");
        }
        if (_options.KeepsBest && validation.Count == 0)
        {
            throw new InvalidOperationException($"{nameof(Options.KeepBest)} and {nameof(Options.Patience)} need validation pictures: "
                + $"set {nameof(Options.ValidationFraction)}, or pass a validation set to Fit.");
        }
        var model = _options.ModelFile is { } file
            ? StartingModel.Load(file, labels.Count, _options.Preprocessing, seed)
            : StartingModel.Build(_options.Architecture, _options.PretrainedWeights, labels.Count, _options.Preprocessing, seed);
        var weights = _options.ClassWeights?.Resolve(labels, samples.CountClasses(labels.Count))
            ?? [.. Enumerable.Repeat(1f, labels.Count)];
        var batchSize = Math.Min(_options.BatchSize, samples.Count / _options.AccumulationSteps);
        var memory = new PictureMemory(_options.PictureCacheBytes);
        var pictures = new PictureCache(samples, _options.Augmentation.ResizesAlike ? model.Preprocessing : null, memory);
        var batches = new PictureBatches(
            pictures, model.Preprocessing, _options.Augmentation, _options.Mixing, new(weights, _options.LabelSmoothing), batchSize, seed,
            _options.AccumulationSteps);
        var trainer = CreateTrainer(model, labels.Count, batchSize, seed, channel);
        return new(model, trainer, batches, new(validation, model.Preprocessing, memory), batchSize);
    }

    private Trainer CreateTrainer(StartingModel model, int classCount, int batchSize, int seed, IChannel channel)
    {
        var trainable = new ParameterPatterns(_options.Freeze, _options.Unfreeze);
        trainable.Check(model.Model.Graph.Initializers.Keys);
        var input = model.Model.Graph.Info(model.Input).Shape!;
        var (height, width) = (model.Preprocessing.Height, model.Preprocessing.Width);
        var sizes = input.Zip([batchSize, 3, height, width]).Where(pair => pair.First.Symbol is not null)
            .ToDictionary(pair => pair.First.Symbol!, pair => (long)pair.Second);
        var graph = TrainingGraph.Build(
            model.Model,
            sizes,
            (builder, outputs) =>
            {
                var logits = outputs[model.Logits];
                var labels = builder.Input(LabelInput, TensorElementType.Int64, [batchSize]);
                builder.Output(CorrectMetric, Losses.CorrectCount(logits, labels));
                return Losses.CrossEntropy(logits, builder.Input(TargetInput, TensorElementType.Float, [batchSize, classCount]));
            },
            new TrainingOptions
            {
                Precision = _options.Precision,
                AccumulationSteps = _options.AccumulationSteps,
                IsTrainable = trainable.IsTrainable,
                FreezeBatchNormalization = _options.FreezeBatchNormalization,
                Optimizer = _options.Optimizer with
                {
                    WeightDecay = _options.WeightDecay,
                    Decays = model.Decays,
                    LearningRateScale = name => MathF.Pow(_options.LayerDecay, model.LayerCount - 1 - model.LayerOf(name)),
                    ClipNorm = _options.MaxGradientNorm,
                    AverageDecay = _options.WeightAveraging,
                },
            });
        return TrainingSession.Start(Host, graph, _options.Scoring.Session, batchSize * _options.AccumulationSteps, seed, channel);
    }

    /// <summary>What must not change between a training and the one that resumes it.</summary>
    private Dictionary<string, string> Describe(StartingModel model, int seed, LabelledPictures samples, LabelledPictures validation) =>
        new(_options.Describe())
        {
            [nameof(Options.Seed)] = $"{seed}",
            [nameof(Options.Preprocessing)] = $"{model.Preprocessing}",
            ["Starting model"] = Digest(model.Model.ToBytes()),
            ["Training pictures"] = $"{samples.Count} with labels {Digest(MemoryMarshal.AsBytes<int>(samples.Labels))}",
            ["Validation pictures"] = $"{validation.Count} with labels {Digest(MemoryMarshal.AsBytes<int>(validation.Labels))}",
        };

    private static string Digest(ReadOnlySpan<byte> bytes) => Convert.ToHexString(SHA256.HashData(bytes))[..16];
}
