using System.Diagnostics;
using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention.Vision;

/// <summary>
/// Trains an attention model that classifies pictures, from random weights or from a checkpoint. Forward pass, backward pass and optimiser
/// are one ONNX graph that ONNX Runtime runs, on the CPU or on CUDA. With the same seed a training gives the same model, bit for bit on the
/// same machine.
/// </summary>
public sealed partial class ImageAttentionTrainer : ClassifierTrainerBase<ImageClassificationTransformer>
{
    private const string LabelInput = "labels";
    private const string CorrectMetric = "correct";

    private readonly Options _options;

    internal ImageAttentionTrainer(IHostEnvironment environment, Options options)
        : base(environment.Register(nameof(ImageAttentionTrainer)), options.Columns)
    {
        options.Validate();
        _options = options;
    }

    private protected override void CheckInput(SchemaShape inputSchema) => _options.Images.Check(Host, inputSchema);

    private protected override ImageClassificationTransformer Train(IDataView trainSet, IDataView? validationSet, ClassLabels labels)
    {
        using var channel = Host.Start("Training");
        var seed = _options.Seed ?? Host.Rand.Next();
        var samples = Read(trainSet, channel);
        var validation = validationSet is not null ? Read(validationSet, channel) : samples.SplitOff(_options.ValidationFraction, seed);
        if (samples.Count == 0)
            throw new InvalidOperationException("There is no picture with a label to train on.");

        var batchSize = Math.Min(_options.BatchSize, samples.Count);
        var batches = new PictureBatches(samples, _options.Preprocessing, _options.Augmentation, batchSize, seed);
        long stepCount = (long)_options.EpochCount * batches.Count;
        var schedule = new CosineSchedule(_options.LearningRate, stepCount, WarmUpSteps: (long)(stepCount * _options.WarmUp));
        using var trainer = CreateTrainer(BuildModel(labels.Count, seed), batchSize, seed, channel);
        var (losses, epochs) = (new List<float>(), new List<EpochSummary>());
        var clock = Stopwatch.StartNew();
        for (var epoch = 1; epoch <= _options.EpochCount; epoch++)
        {
            var (lossSum, correct) = (0.0, 0.0);
            foreach (var batch in batches.Epoch(epoch, _options.Cancellation))
            {
                _options.Cancellation.ThrowIfCancellationRequested();
                losses.Add(Step(trainer, batch, schedule));
                lossSum += losses[^1];
                correct += trainer.Metric(CorrectMetric);
            }
            epochs.Add(new(
                epoch, losses.Count, (float)(lossSum / batches.Count), correct / (batches.Count * batchSize),
                validation.Count > 0 ? MeasureAccuracy(trainer, validation) : null, clock.Elapsed));
            channel.Info(epochs[^1].ToString());
            _options.Progress?.Report(epochs[^1]);
        }
        return new(Host, new(Content(trainer), _options.Scoring, Columns, labels), _options.Images) { Trace = new(losses, epochs) };
    }

    private LabelledPictures Read(IDataView data, IChannel channel) =>
        LabelledPictures.Read(data, _options.Images.Bind(data.Schema), Columns.Label, channel, _options.Cancellation);

    private OnnxModel BuildModel(int classCount, int seed)
    {
        WeightSource weights = new RandomWeights(seed);
        if (_options.PretrainedWeights is { } path)
            weights = Checkpoint.Load(path).Replace(name => name.StartsWith("head.", StringComparison.Ordinal), weights);
        var config = _options.Architecture with { ClassCount = classCount, InputChannels = 3 };
        return BiFormer.Build(config, weights, _options.Preprocessing.Height, _options.Preprocessing.Width);
    }

    private Trainer CreateTrainer(OnnxModel model, int batchSize, int seed, IChannel channel)
    {
        var graph = TrainingGraph.Build(
            model,
            new Dictionary<string, long> { ["N"] = batchSize },
            (builder, outputs) =>
            {
                var labels = builder.Input(LabelInput, TensorElementType.Int64, [batchSize]);
                builder.Output(CorrectMetric, Losses.CorrectCount(outputs["logits"], labels));
                return Losses.CrossEntropy(outputs["logits"], labels, _options.LabelSmoothing);
            },
            new TrainingOptions
            {
                Optimizer = new AdamW
                {
                    WeightDecay = _options.WeightDecay,
                    ClipNorm = _options.MaxGradientNorm,
                    AverageDecay = _options.WeightAveraging,
                },
            });
        // Opening the model decides, and logs, where it runs.
        using var forward = OnnxSession.Open(Host, new ModelContent(model.ToBytes()), _options.Scoring.Session);
        channel.Info($"Training {graph.ParameterCount} parameters on {forward.Provider}, {batchSize} pictures a step.");
        using var session = new SessionOptions { IntraOpNumThreads = _options.Scoring.Session.IntraOpThreadCount };
        if (forward.CudaDevice is { } device)
            session.AppendExecutionProvider_CUDA(device);
        KernelLibrary.Register(session, cuda: forward.CudaDevice is not null);
        return new(graph, session, forward.CudaDevice, seed);
    }

    private static float Step(Trainer trainer, PictureBatch batch, CosineSchedule schedule)
    {
        batch.Pixels.CopyTo(trainer.Input<float>("x"));
        batch.Labels.CopyTo(trainer.Input<long>(LabelInput));
        var loss = trainer.Step(schedule.At(trainer.StepCount));
        return float.IsFinite(loss) ? loss : throw new InvalidOperationException(
            $"The loss of step {trainer.StepCount} is {loss}: the training does not converge. Lower {nameof(Options.LearningRate)} "
            + $"or {nameof(Options.MaxGradientNorm)}, or raise {nameof(Options.WarmUp)}.");
    }

    private double MeasureAccuracy(Trainer trainer, LabelledPictures validation)
    {
        using var session = OnnxSession.Open(Host, Content(trainer), _options.Scoring.Session);
        return Accuracy.Measure(session, validation, _options.Preprocessing, _options.Scoring.BatchSize, _options.Cancellation);
    }

    private ModelContent Content(Trainer trainer) => new(trainer.Export(averaged: _options.WeightAveraging is not null).ToBytes());
}
