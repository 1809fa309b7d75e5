using System.Diagnostics;
using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.Attention.Vision.Pixels;
using Microsoft.ML.Data;
using Microsoft.ML.OnnxRuntime.Tensors;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention.Vision;

/// <summary>
/// Learns to enhance pictures taken in low light from pictures in normal light only: a troublemaker darkens them, and two nets learn to
/// undo that, the first one coarsely, the second one by predicting what is still wrong. The troublemaker is a net of its own where the
/// data has some pairs to train it on, and a random model of a camera (<see cref="Dimming"/>) where not.
/// <para>
/// Source: "Troublemaker Learning for Low-Light Image Enhancement" (arXiv 2402.04584): both losses, smooth L1 in the normalised domain. It
/// does not say how its nets were optimised; AdamW, schedule, epochs and the weight 1 of both losses are ours, and so is Dimming.
/// </para>
/// </summary>
public sealed partial class TroubleMakerTrainer : IEstimator<LowLightEnhancementTransformer>
{
    private const string PictureInput = "x";
    private const string TargetInput = "target";

    private readonly IHost _host;
    private readonly Options _options;

    internal TroubleMakerTrainer(IHostEnvironment environment, Options options)
    {
        _host = environment.Register(nameof(TroubleMakerTrainer));
        options.Validate();
        _options = options;
    }

    /// <inheritdoc/>
    public SchemaShape GetOutputSchema(SchemaShape inputSchema)
    {
        _host.CheckValue(inputSchema, nameof(inputSchema));
        _options.Images.Check(_host, inputSchema);
        var (height, width) = (_options.Predict.Height, _options.Predict.Width);
        OutputColumn column = new EnhancedImageColumn(
            _options.OutputColumnName, _options.Fit == LowLightFit.Resized ? (height, width) : null);
        return OutputSchemaShape.Add(
            inputSchema,
            _options.Scoring.ErrorColumnName is { } error ? [column.Describe(), new ErrorColumn(error).Describe()] : [column.Describe()]);
    }

    /// <summary>Trains the nets.</summary>
    /// <param name="input">The pictures.</param>
    /// <exception cref="InvalidOperationException">There are no pictures, or the training does not converge.</exception>
    /// <exception cref="InvalidDataException">A picture cannot be decoded; the message names row, picture and reason.</exception>
    /// <exception cref="OperationCanceledException"><see cref="Options.Cancellation"/> was cancelled.</exception>
    public LowLightEnhancementTransformer Fit(IDataView input)
    {
        _host.CheckValue(input, nameof(input));
        using var channel = _host.Start("Training");
        var pictures = LightPictures.Read(input, _options.Images.Bind(input.Schema), DarkColumn(input.Schema), _options.Cancellation);
        if (pictures.Count == 0)
            throw new InvalidOperationException($"There are no pictures in column '{_options.ImageColumnName}' to train on.");
        var run = new Run(_options.Seed ?? _host.Rand.Next(), Stopwatch.StartNew(), [], channel);
        using var troubleMaker = _options.DarkImageColumnName is null
            ? new DimmingTroubleMaker(_options.Dimming, _options.Preprocessing)
            : TrainTroubleMaker(pictures.Pairs(), run);
        var model = TrainEnhancement(pictures, troubleMaker, run);
        return new(_host, new ModelContent(model.ToBytes()), _options.Scoring, _options.Images, _options.Output)
        {
            Trace = new(run.Epochs),
        };
    }

    private PictureColumn? DarkColumn(DataViewSchema schema) =>
        _options.DarkImageColumnName is { } name ? new(schema, name, _options.ImageFolder) : null;

    // Normal light in, low light out.
    private TroubleMaker TrainTroubleMaker(LightPictures pairs, Run run)
    {
        if (pairs.Count == 0)
        {
            throw new InvalidOperationException(
                $"No row has a picture in column '{_options.DarkImageColumnName}' to learn darkening from.");
        }
        using var real = new RealTroubleMaker(pairs, _options.Preprocessing, IsTiled);
        var batches = Batches(pairs, real, run.Seed);
        var net = Ugdc.Build(_options.Predict, new RandomWeights(run.Seed));
        var stage = new Stage("troublemaker", _options.TroubleMakerEpochCount, batch => batch.Normal, batch => batch.Dark);
        var trained = Train(stage, net, batches, run, (outputs, target) => Losses.SmoothL1(outputs["y"], target));
        var content = new ModelContent(Ugdc.Build(_options.Predict with { DropPathRate = 0 }, trained).ToBytes());
        return new TroubleMakerNet(OnnxSession.Open(_host, content, _options.Scoring.Session), _options.Preprocessing);
    }

    // Low light in, normal light out.
    private OnnxModel TrainEnhancement(LightPictures pictures, TroubleMaker troubleMaker, Run run)
    {
        var batches = Batches(pictures, troubleMaker, run.Seed);
        var nets = Ugdc.BuildPipeline(_options.Predict, _options.Enhance, new RandomWeights(run.Seed));
        var stage = new Stage("predict+enhance", _options.EpochCount, batch => batch.Dark, batch => batch.Normal);
        var trained = Train(stage, nets, batches, run, (outputs, target) =>
            Losses.SmoothL1(outputs["coarse"], target) + Losses.SmoothL1(outputs["normalized"], target));
        return Ugdc.BuildPipeline(_options.Predict with { DropPathRate = 0 }, _options.Enhance with { DropPathRate = 0 }, trained);
    }

    private Checkpoint Train(
        Stage stage, OnnxModel nets, LightBatches batches, Run run, Func<IReadOnlyDictionary<string, Value>, Value, Value> loss)
    {
        var shape = nets.Graph.Info(PictureInput).Shape!.With(0, batches.Size);
        var graph = TrainingGraph.Build(
            nets,
            new Dictionary<string, long> { ["N"] = batches.Size },
            (builder, outputs) => loss(outputs, builder.Input(TargetInput, TensorElementType.Float, shape)),
            new TrainingOptions { Optimizer = new AdamW { WeightDecay = _options.WeightDecay, ClipNorm = _options.MaxGradientNorm } });
        using var trainer = TrainingSession.Start(_host, graph, _options.Scoring.Session, batches.Size, run.Seed, run.Channel);
        var stepCount = (long)stage.EpochCount * batches.Count;
        var schedule = new CosineSchedule(_options.LearningRate, stepCount, WarmUpSteps: (long)(stepCount * _options.WarmUp));
        for (var epoch = 1; epoch <= stage.EpochCount; epoch++)
        {
            double lossSum = 0;
            foreach (var batch in batches.Epoch(epoch, _options.Cancellation))
            {
                _options.Cancellation.ThrowIfCancellationRequested();
                stage.Input(batch).CopyTo(trainer.Input<float>(PictureInput));
                stage.Target(batch).CopyTo(trainer.Input<float>(TargetInput));
                var stepLoss = trainer.Step(schedule.At(trainer.StepCount));
                lossSum += float.IsFinite(stepLoss) ? stepLoss : throw new InvalidOperationException(
                    $"The loss of step {trainer.StepCount} is {stepLoss}: the training does not converge. Lower "
                    + $"{nameof(Options.LearningRate)} or {nameof(Options.MaxGradientNorm)}, or raise {nameof(Options.WarmUp)}.");
            }
            run.Epochs.Add(new(stage.Nets, epoch, (int)trainer.StepCount, (float)(lossSum / batches.Count), run.Clock.Elapsed));
            run.Channel.Info(run.Epochs[^1].ToString());
            _options.Progress?.Report(run.Epochs[^1]);
        }
        return new(trainer.Export().Graph.Initializers.Where(pair => Graph.IsWeight(pair.Key, pair.Value)).ToDictionary(), "the trained nets");
    }

    private bool IsTiled => _options.Fit == LowLightFit.Tiled;

    private LightBatches Batches(LightPictures pictures, TroubleMaker troubleMaker, int seed) => new(
        pictures, troubleMaker, _options.Preprocessing, IsTiled, Math.Min(_options.BatchSize, pictures.Count), seed);

    /// <summary>Nets in training, and what of a batch is their input and what should come out.</summary>
    private sealed record Stage(string Nets, int EpochCount, Func<LightBatch, float[]> Input, Func<LightBatch, float[]> Target);

    private sealed record Run(int Seed, Stopwatch Clock, List<EnhancementEpoch> Epochs, IChannel Channel);
}
