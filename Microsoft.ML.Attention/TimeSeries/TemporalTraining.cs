using System.Diagnostics;
using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.OnnxRuntime.Tensors;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention;

/// <summary>Trains the networks of an ensemble, one after the other, on the same series.</summary>
/// <param name="host">Where sessions are opened.</param>
/// <param name="options">How networks are trained.</param>
/// <param name="architecture">The networks.</param>
/// <param name="encoder">How series were encoded.</param>
/// <param name="task">Labels and loss.</param>
/// <param name="train">The series to learn from.</param>
/// <param name="validation">The series to compare epochs by; null for a part of <paramref name="train"/>.</param>
/// <param name="channel">Told of the progress.</param>
internal sealed class TemporalTraining(
    IHost host, TemporalAttentionTrainer.Options options, TscanConfig architecture, SeriesEncoder encoder, TemporalTask task,
    EncodedSeries train, EncodedSeries? validation, IChannel channel)
{
    private const string Targets = "targets";

    private readonly Stopwatch _clock = Stopwatch.StartNew();
    private readonly List<TemporalEpoch> _epochs = [];
    private readonly VariableDrop _drop = new(encoder, options.VariableDropRate);

    public IReadOnlyList<TemporalEpoch> Epochs => _epochs;

    /// <summary>Trains a network and returns its weights: those of the best epoch where there are series to measure on.</summary>
    public IReadOnlyDictionary<string, Onnx.Tensor> Train(int member, int seed)
    {
        var (learnt, measured) = train.Split(validation is null ? options.ValidationFraction : 0, seed);
        var (watched, watchedSamples) = validation is null
            ? (train, measured) : (validation, Enumerable.Range(0, validation.Count).ToArray());
        if (options.Patience is not null && watchedSamples.Length == 0)
        {
            throw new InvalidOperationException($"{nameof(options.Patience)} needs validation series: set "
                + $"{nameof(options.ValidationFraction)}, or pass a validation set to Fit.");
        }
        var batchSize = Math.Min(options.BatchSize, learnt.Length);
        using var trainer = Start(batchSize, seed);
        var batchCount = learnt.Length / batchSize;
        var stepCount = (long)options.EpochCount * batchCount;
        var schedule = new CosineSchedule(options.LearningRate, stepCount, WarmUpSteps: (long)(stepCount * options.WarmUp));
        var (best, bestLoss, bestEpoch) = ((OnnxModel?)null, float.PositiveInfinity, 0);
        for (var epoch = 1; epoch <= options.EpochCount && !(epoch - bestEpoch > options.Patience); epoch++)
        {
            var random = new Random(HashCode(seed, epoch));
            random.Shuffle(learnt);
            double lossSum = 0;
            for (var batch = 0; batch < batchCount; batch++)
            {
                options.Cancellation.ThrowIfCancellationRequested();
                train.CopyTo(learnt.AsSpan(batch * batchSize, batchSize), trainer.Input<float>("x"), trainer.Input<float>(Targets));
                _drop.Apply(trainer.Input<float>("x"), random);
                lossSum += Step(trainer, schedule);
            }
            float? watchedLoss = null;
            if (watchedSamples.Length > 0)
            {
                var model = trainer.Export();
                watchedLoss = Measure(model, watched, watchedSamples);
                if (best is null || watchedLoss < bestLoss)
                    (best, bestLoss, bestEpoch) = (model, watchedLoss.Value, epoch);
            }
            _epochs.Add(new(member + 1, epoch, (float)(lossSum / batchCount), watchedLoss, _clock.Elapsed));
            channel.Info(_epochs[^1].ToString());
            options.Progress?.Report(_epochs[^1]);
        }
        return (best ?? trainer.Export()).Graph.Initializers.Where(pair => Graph.IsWeight(pair.Key, pair.Value)).ToDictionary();
    }

    // Not System.HashCode, which is another one in each process.
    private static int HashCode(int seed, int epoch) => unchecked((seed * 31) + epoch);

    private Trainer Start(int batchSize, int seed)
    {
        var graph = TrainingGraph.Build(
            Tscan.Build(architecture, new RandomWeights(seed)),
            new Dictionary<string, long> { ["N"] = batchSize },
            (builder, outputs) => task.Loss(
                outputs[TemporalTask.Logits], builder.Input(Targets, TensorElementType.Float, [batchSize, task.TargetCount])),
            new TrainingOptions { Optimizer = new AdamW { WeightDecay = options.WeightDecay, ClipNorm = options.MaxGradientNorm } });
        return TrainingSession.Start(host, graph, options.Scoring.Session, batchSize, seed, channel);
    }

    private float Step(Trainer trainer, CosineSchedule schedule)
    {
        var loss = trainer.Step(schedule.At(trainer.StepCount));
        return float.IsFinite(loss) ? loss : throw new InvalidOperationException(
            $"The loss of step {trainer.StepCount} is {loss}: the training does not converge. Lower {nameof(options.LearningRate)} or "
            + $"{nameof(options.MaxGradientNorm)}, or raise {nameof(options.WarmUp)}.");
    }

    private float Measure(OnnxModel model, EncodedSeries series, int[] samples)
    {
        using var session = OnnxSession.Open(host, new ModelContent(model.ToBytes()), options.Scoring.Session);
        var logits = EncodedSeries.Score(
            session, [.. samples.Select(sample => series.Inputs[sample])], encoder, options.Scoring.BatchSize, options.Cancellation);
        double loss = 0;
        for (var i = 0; i < samples.Length; i++)
            loss += task.Loss(logits.AsSpan(i * task.OutputCount, task.OutputCount), series.Targets[samples[i]]);
        return (float)(loss / samples.Length);
    }
}
