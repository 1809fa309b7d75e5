using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.OnnxRuntime.Tensors;
using static Microsoft.ML.Attention.Onnx.Tests.Training.StripedPictures;

namespace Microsoft.ML.Attention.Onnx.Tests.Training;

/// <summary>Gradients of several batches make up a step.</summary>
public class AccumulationTests
{
    public static TheoryData<Optimizer, TrainingPrecision> Optimizers => new()
    {
        { new AdamW { Epsilon = 1e-3f, AverageDecay = 0.9f }, TrainingPrecision.Float32 },
        { new AdamW { Epsilon = 1e-3f, ClipNorm = 0.1f, AverageDecay = 0.9f }, TrainingPrecision.Float32 },
        { new Sgd { ClipNorm = 0.1f, Nesterov = true }, TrainingPrecision.Float32 },
        { new Sgd(), TrainingPrecision.Float32 },
        { new AdamW { Epsilon = 1e-3f, ClipNorm = 0.1f, AverageDecay = 0.9f }, TrainingPrecision.Mixed },
    };

    [Theory]
    [MemberData(nameof(Optimizers))]
    public void Two_batches_of_four_are_one_of_eight(Optimizer optimizer, TrainingPrecision precision)
    {
        var averaged = optimizer.AverageDecay is not null;
        using var halves = new Trainer(Graph(optimizer, precision, batch: 4, steps: 2));
        using var wholes = new Trainer(Graph(optimizer, precision, batch: 8, steps: 1));
        for (var step = 0; step < 5; step++)
        {
            var x = Array.ConvertAll(GradientCheck.Random(step + 1, 8, 6).Data, value => (float)value);
            long[] labels = [.. Enumerable.Range(0, 8).Select(i => x[6 * i] > 0 ? 1L : 0)];
            var loss = 0f;
            for (var half = 0; half < 2; half++)
            {
                Assert.Equal(step, halves.StepCount);
                loss += Step(halves, x.AsSpan(half * 24, 24), labels.AsSpan(half * 4, 4)) / 2;
            }
            Assert.Equal(Step(wholes, x, labels), loss, precision == TrainingPrecision.Mixed ? 2e-3 : 1e-5);
        }
        Assert.Equal((5, 10), (halves.StepCount, halves.BatchCount));
        var expected = wholes.Export(averaged).Graph.Initializers;
        foreach (var (name, tensor) in halves.Export(averaged).Graph.Initializers.Where(pair => pair.Value.Type == TensorElementType.Float))
        {
            for (var i = 0; i < tensor.ElementCount; i++)
                Assert.Equal(expected[name].AsSpan<float>()[i], tensor.AsSpan<float>()[i], precision == TrainingPrecision.Mixed ? 3e-3 : 2e-5);
        }
    }

    [Fact]
    public void A_training_that_is_resumed_in_the_middle_of_a_step_ends_as_an_uninterrupted_one()
    {
        var graph = TrainingGraph.Build(ConvolutionAndAttention(), Sizes(8), CrossEntropy(8, 0.1f), new()
        {
            Optimizer = new AdamW { ClipNorm = 1 }, AccumulationSteps = 3,
        });
        var path = Path.Combine(Path.GetTempPath(), $"{Guid.NewGuid():N}.safetensors");
        try
        {
            using var whole = new Trainer(graph, seed: 3);
            var expected = Train(whole, 9);
            using (var first = new Trainer(graph, seed: 3))
            {
                Train(first, 5);
                first.SaveState(path);
            }
            using var second = new Trainer(graph, seed: 3);
            Train(second, 4);
            second.LoadState(path);
            Assert.Equal((1, 5), (second.StepCount, second.BatchCount));
            Assert.Equal(expected[5..], Train(second, 4, from: 5));
            Assert.Equal(whole.Export().ToBytes(), second.Export().ToBytes());
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Fact]
    public void A_step_one_of_whose_batches_overflows_changes_nothing()
    {
        using var trainer = new Trainer(TrainingGraph.Build(ConvolutionAndAttention(), Sizes(8), CrossEntropy(8, 0.1f), new()
        {
            Optimizer = new AdamW { ClipNorm = 1 }, Precision = TrainingPrecision.Mixed, AccumulationSteps = 2,
        }));
        Train(trainer, 2);
        var before = trainer.Export().ToBytes();
        trainer.Input<float>("x").Fill(float.PositiveInfinity);
        trainer.Step(0.1f);
        Train(trainer, 1);
        Assert.Equal((1, 2), (trainer.SkippedStepCount, trainer.StepCount));
        Assert.Equal(before, trainer.Export().ToBytes());
        Assert.All(Train(trainer, 4), loss => Assert.True(float.IsFinite(loss)));
        Assert.NotEqual(before, trainer.Export().ToBytes());
    }

    [Fact]
    public void No_batches_are_refused() => Assert.Throws<ArgumentOutOfRangeException>(() =>
        Graph(new AdamW(), TrainingPrecision.Float32, batch: 4, steps: 0));

    private static float Step(Trainer trainer, ReadOnlySpan<float> x, ReadOnlySpan<long> labels)
    {
        x.CopyTo(trainer.Input<float>("x"));
        labels.CopyTo(trainer.Input<long>("labels"));
        return trainer.Step(0.05f);
    }

    private static TrainingGraph Graph(Optimizer optimizer, TrainingPrecision precision, long batch, int steps)
    {
        var builder = new GraphBuilder();
        var x = builder.Input("x", TensorElementType.Float, ["N", 6]);
        var hidden = (x.MatMul(builder.Initializer("0.weight", Noisy(1, 12, 6)).Transpose(1, 0))
            + builder.Initializer("0.bias", Noisy(2, 12))).Gelu();
        builder.Output("logits", hidden.MatMul(builder.Initializer("1.weight", Noisy(3, 12, 2))) + builder.Initializer("1.bias", Noisy(4, 2)));
        return TrainingGraph.Build(builder.ToModel(), Sizes(batch), CrossEntropy(batch, 0.1f), new()
        {
            Optimizer = optimizer, Precision = precision, AccumulationSteps = steps,
        });
    }
}
