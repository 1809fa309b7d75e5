using Microsoft.ML.Attention.Onnx.Ops;
using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.OnnxRuntime.Tensors;
using static Microsoft.ML.Attention.Onnx.Tests.Training.StripedPictures;

namespace Microsoft.ML.Attention.Onnx.Tests.Training;

public class TrainerTests
{
    // The expected numbers are those of PyTorch 1.13 on the same data.
    [Fact]
    public void AdamW_goes_the_way_of_PyTorch() => Regress(
        new AdamW { WeightDecay = 0.05f },
        [1.729863f, 1.351348f, 1.278256f, 0.7782388f, 0.7593375f, 1.512028f],
        [-0.05750216f, 0.4729249f, 0.7456648f, 0.5903057f, 0.1227297f, -0.209062f], [0.2604073f, 0.6914573f]);

    [Fact]
    public void AdamW_with_clipping_and_average_goes_the_way_of_PyTorch()
    {
        using var trainer = Regress(
            new AdamW { WeightDecay = 0.05f, ClipNorm = 0.5f, AverageDecay = 0.9f },
            [1.729863f, 1.351348f, 1.27729f, 0.7755747f, 0.7542681f, 1.506675f],
            [-0.04567766f, 0.4682603f, 0.7438751f, 0.5967686f, 0.131419f, -0.2094824f], [0.2571808f, 0.6884859f]);
        var averaged = trainer.Export(averaged: true).Graph.Initializers;
        Near([0.03199156f, 0.6244665f, 0.9031342f, 0.7219993f, 0.1822691f, -0.3530525f], averaged["weight"].AsSpan<float>());
        Near([0.3936554f, 0.8412256f], averaged["bias"].AsSpan<float>());
    }

    [Fact]
    public void Momentum_goes_the_way_of_PyTorch() => Regress(
        new Sgd { WeightDecay = 0.01f },
        [1.729863f, 1.475414f, 1.300714f, 0.7508601f, 0.6536245f, 1.354379f],
        [0.04386597f, 0.4653262f, 0.6679363f, 0.6368443f, 0.2305268f, -0.284211f], [0.1634884f, 0.4684947f]).Dispose();

    [Fact]
    public void Nesterov_momentum_with_clipping_goes_the_way_of_PyTorch() => Regress(
        new Sgd { WeightDecay = 0.01f, Nesterov = true, ClipNorm = 0.5f },
        [1.729863f, 1.595932f, 1.486874f, 0.9200755f, 0.8464148f, 1.829479f],
        [0.07445008f, 0.5945306f, 0.8349941f, 0.7343692f, 0.2391713f, -0.3685127f], [0.3397205f, 0.7194595f]).Dispose();

    [Fact]
    public void Of_two_optimisers_each_updates_its_parameters_as_it_would_alone()
    {
        var (adam, sgd) = (new AdamW { WeightDecay = 0.05f }, new Sgd { WeightDecay = 0.01f, LearningRateScale = _ => 2 });
        var (all, none) = (Train(adam, null), Train(sgd, null));

        var both = Train(adam, sgd);

        Near(all["left"].AsSpan<float>(), both["left"].AsSpan<float>());
        Near(none["right"].AsSpan<float>(), both["right"].AsSpan<float>());
        Assert.NotEqual(all["right"].AsSpan<float>()[0], both["right"].AsSpan<float>()[0], 1e-3);

        static IReadOnlyDictionary<string, Tensor> Train(Optimizer first, Sgd? second)
        {
            var builder = new GraphBuilder();
            var x = builder.Input("x", TensorElementType.Float, ["N", 3]);
            builder.Output("y", x.MatMul(builder.Initializer("left", Tensor.Create<float>(Sequence(6, 0.1), 3, 2))));
            builder.Output("z", x.MatMul(builder.Initializer("right", Tensor.Create<float>(Sequence(6, 0.3), 3, 2))));
            var graph = TrainingGraph.Build(
                builder.ToModel(), Sizes(4),
                (_, outputs) => (outputs["y"] * outputs["y"]).ReduceSum([0, 1]) + (outputs["z"] * outputs["z"]).ReduceSum([0, 1]),
                new() { Optimizer = first, SecondOptimizer = second, UsesSecondOptimizer = name => name == "right" });
            using var trainer = new Trainer(graph);
            for (var step = 0; step < 5; step++)
            {
                Sequence(12, step * 1.3).CopyTo(trainer.Input<float>("x"));
                trainer.Step(0.01f);
            }
            return trainer.Export().Graph.Initializers;
        }
    }

    [Fact]
    public void Batch_normalization_goes_the_way_of_PyTorch()
    {
        var builder = new GraphBuilder();
        var x = builder.Input("x", TensorElementType.Float, ["N", 3, 2, 2]);
        builder.Output("y", builder.Op("BatchNormalization",
        [
            x, builder.Initializer("weight", Vector(Sequence(3, 1))), builder.Initializer("bias", Vector(Sequence(3, 2))),
            builder.Initializer("running_mean", Vector([0, 0, 0])), builder.Initializer("running_var", Vector([1, 1, 1])),
        ]));
        var graph = TrainingGraph.Build(builder.ToModel(), Sizes(4),
            (training, outputs) => (outputs["y"] * training.Input("factor", TensorElementType.Float, [4, 3, 2, 2])).ReduceSum([0, 1, 2, 3]),
            new() { Optimizer = new Sgd { Momentum = 0 } });
        using var trainer = new Trainer(graph);
        var loss = 0f;
        for (var step = 0; step < 3; step++)
        {
            Array.ConvertAll(Sequence(48, step * 1.1), value => (value * (step + 1)) + 0.3f).CopyTo(trainer.Input<float>("x"));
            Sequence(48, step * 0.4).CopyTo(trainer.Input<float>("factor"));
            loss = trainer.Step(0.1f);
        }
        Assert.Equal(-9.545301, loss, 1e-4);
        var trained = trainer.Export().Graph.Initializers;
        Near([-1.308782f, -1.157876f, -1.474489f], trained["weight"].AsSpan<float>());
        Near([0.08067537f, 1.183869f, -0.8524809f], trained["bias"].AsSpan<float>());
        Near([0.1135573f, 0.02868889f, 0.1481854f], trained["running_mean"].AsSpan<float>());
        Near([1.421147f, 1.420935f, 1.420425f], trained["running_var"].AsSpan<float>());
    }

    [Fact]
    public void Two_layers_learn_exclusive_or()
    {
        var builder = new GraphBuilder();
        var x = builder.Input("x", TensorElementType.Float, ["N", 2]);
        var hidden = (x.MatMul(builder.Initializer("0.weight", Noisy(1, 2, 16)))
            + builder.Initializer("0.bias", Noisy(2, 16))).Apply("Tanh");
        builder.Output("logits", hidden.MatMul(builder.Initializer("1.weight", Noisy(3, 16, 2)))
            + builder.Initializer("1.bias", Noisy(4, 2)));
        using var trainer = new Trainer(Classifier(builder.ToModel(), 4, new AdamW { WeightDecay = 0 }, smoothing: 0));
        new float[] { 0, 0, 0, 1, 1, 0, 1, 1 }.CopyTo(trainer.Input<float>("x"));
        new long[] { 0, 1, 1, 0 }.CopyTo(trainer.Input<long>("labels"));
        for (var step = 0; step < 200; step++)
            trainer.Step(0.05f);
        Assert.True(trainer.Step(0) < 0.01f);
        Assert.Equal(4, trainer.Metric("correct"));
    }

    [Fact]
    public void A_net_of_convolution_and_attention_learns()
    {
        using var trainer = new Trainer(Classifier(ConvolutionAndAttention(), 8, new AdamW { ClipNorm = 1 }, smoothing: 0.1f), seed: 5);
        var losses = Train(trainer, 60);
        Assert.True(losses[^5..].Average() < 0.6 * losses[..5].Average(), $"{losses[0]} ... {losses[^1]}");
        Assert.Equal(8, trainer.Metric("correct"));

        // In inference the trained model tells the classes apart, too: the running statistics have followed.
        var model = trainer.Export();
        var inputs = new Dictionary<string, Tensor> { ["x"] = Tensor.Create<float>(Pictures(0), 8, 3, 8, 8) };
        var logits = SessionRunner.Run(model, inputs)["logits"].AsSpan<float>();
        for (var i = 0; i < 8; i++)
            Assert.Equal(i % 2, logits[2 * i] > logits[(2 * i) + 1] ? 0 : 1);
    }

    [Fact]
    public void Equal_seeds_train_equal_bytes_and_other_seeds_others()
    {
        var graph = Classifier(ConvolutionAndAttention(), 8, new AdamW { ClipNorm = 1, AverageDecay = 0.99f }, smoothing: 0.1f);
        byte[] Run(long seed)
        {
            using var trainer = new Trainer(graph, seed: seed);
            Train(trainer, 5);
            return trainer.Export().ToBytes();
        }
        Assert.Equal(Run(1), Run(1));
        Assert.NotEqual(Run(1), Run(2));
    }

    [Fact]
    public void A_resumed_training_ends_as_an_uninterrupted_one()
    {
        var graph = Classifier(ConvolutionAndAttention(), 8, new AdamW { AverageDecay = 0.9f }, smoothing: 0);
        var path = Path.Combine(Path.GetTempPath(), $"{Guid.NewGuid():N}.safetensors");
        try
        {
            using var whole = new Trainer(graph, seed: 3);
            var expected = Train(whole, 7);
            using (var first = new Trainer(graph, seed: 3))
            {
                Train(first, 4);
                first.SaveState(path);
            }
            using var second = new Trainer(graph, seed: 3);
            Train(second, 2);
            second.LoadState(path);
            Assert.Equal(4, second.StepCount);
            Assert.Equal(expected[4..], Train(second, 3, from: 4));
            Assert.Equal(whole.Export(averaged: true).ToBytes(), second.Export(averaged: true).ToBytes());
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Fact]
    public void The_bias_before_a_Gelu_is_part_of_it_where_nothing_else_uses_the_sum()
    {
        var (fused, plain) = (Graph(exportSum: false), Graph(exportSum: true));
        Assert.Equal(["BiasGelu", "BiasGeluGrad"], Operators(fused));
        Assert.Equal(["Gelu", "GeluGrad"], Operators(plain));
        using var first = new Trainer(fused);
        using var second = new Trainer(plain);
        for (var step = 0; step < 4; step++)
        {
            foreach (var trainer in new[] { first, second })
                Sequence(2 * 4 * 3, step).CopyTo(trainer.Input<float>("x"));
            Assert.Equal(second.Step(0.1f), first.Step(0.1f), 1e-5);
        }

        static string[] Operators(TrainingGraph graph) =>
            [.. graph.Step.Graph.Nodes.Select(node => node.OpType).Where(op => op.Contains("Gelu", StringComparison.Ordinal))];

        static TrainingGraph Graph(bool exportSum)
        {
            var builder = new GraphBuilder();
            var x = builder.Input("x", TensorElementType.Float, ["N", 4, 3]);
            var sum = x.MatMul(builder.Initializer("weight", Noisy(1, 6, 3)).Transpose(1, 0)) + builder.Initializer("bias", Noisy(2, 6));
            builder.Output("y", sum.Gelu());
            if (exportSum)
                builder.Output("sum", sum);
            return TrainingGraph.Build(builder.ToModel(), Sizes(2), (_, outputs) => (outputs["y"] * outputs["y"]).ReduceMean([0, 1, 2]));
        }
    }

    [Fact]
    public void Frozen_parameters_stay()
    {
        var model = ConvolutionAndAttention();
        var graph = TrainingGraph.Build(model, Sizes(8), CrossEntropy(8, 0),
            new() { IsTrainable = name => name.StartsWith("head", StringComparison.Ordinal), FreezeBatchNormalization = true });
        using var trainer = new Trainer(graph);
        Train(trainer, 2);
        foreach (var (name, tensor) in trainer.Export().Graph.Initializers)
            Assert.Equal(!name.StartsWith("head", StringComparison.Ordinal),
                tensor.Data.Span.SequenceEqual(model.Graph.Initializers[name].Data.Span));
    }

    [Fact]
    public void A_model_of_an_older_operator_set_is_fine_tuned()
    {
        var builder = new GraphBuilder();
        var x = builder.Input("x", TensorElementType.Float, ["N", 3, 8, 8]);
        var features = builder.Op("ReduceMean", [x.Conv2d(builder.Initializer("weight", Noisy(1, 4, 3, 3, 3)), null)],
            new() { ["axes"] = new[] { 2, 3 }, ["keepdims"] = 0 });
        var parts = builder.Ops("Split", [features], 2, new() { ["axis"] = 1 });
        var shift = builder.Op("Constant", [], new() { ["value"] = Vector([0.5f, -0.5f]) });
        builder.Output("logits", parts[0] - parts[1] + shift);
        var model = builder.ToModel();
        model.Opsets[""] = 17;
        var graph = Classifier(OnnxModel.Load(model.ToBytes()), 8, new AdamW(), smoothing: 0);
        Assert.Equal(4 * 3 * 3 * 3, graph.ParameterCount);
        using var trainer = new Trainer(graph);
        var losses = Train(trainer, 40);
        Assert.True(losses[^1] < 0.8 * losses[0], $"{losses[0]} ... {losses[^1]}");
        Assert.Equal(17, trainer.Export().Opsets[""]);

        model.Opsets[""] = 11;
        Assert.Contains("operator set 11", Assert.Throws<NotSupportedException>(() => Classifier(model, 8, new AdamW(), 0)).Message);
    }

    [Fact]
    public void Mistakes_are_named()
    {
        var model = ConvolutionAndAttention();
        Assert.Contains("'x'", Assert.Throws<ArgumentException>(() =>
            TrainingGraph.Build(model, new Dictionary<string, long>(), CrossEntropy(8, 0))).Message);
        Assert.Contains("IsTrainable", Assert.Throws<ArgumentException>(() =>
            TrainingGraph.Build(model, Sizes(8), CrossEntropy(8, 0), new() { IsTrainable = _ => false })).Message);
        Assert.Contains("'picked'", Assert.Throws<ArgumentException>(() => TrainingGraph.Build(model, Sizes(8), (builder, outputs) =>
        {
            builder.Output("picked", outputs["logits"]);
            return outputs["logits"].ReduceSum([0, 1]);
        })).Message);
        using var trainer = new Trainer(TrainingGraph.Build(model, Sizes(8), CrossEntropy(8, 0)));
        Assert.Contains("x, labels", Assert.Throws<ArgumentException>(() => trainer.Input<float>("y").Length).Message);
        Assert.Contains("AverageDecay", Assert.Throws<InvalidOperationException>(() => trainer.Export(averaged: true)).Message);
    }

    [Fact]
    public void The_cosine_rises_and_falls()
    {
        var schedule = new CosineSchedule(Peak: 1, Steps: 110, WarmUpSteps: 10, Start: 0.1f, End: 0.2f);
        Assert.Equal(0.1f, schedule.At(0), 1e-6);
        Assert.Equal(0.55f, schedule.At(5), 1e-6);
        Assert.Equal(1f, schedule.At(10), 1e-6);
        Assert.Equal(0.6f, schedule.At(60), 1e-6);
        Assert.Equal(0.2f, schedule.At(110), 1e-6);
        Assert.Equal(0.2f, schedule.At(200), 1e-6);
    }

    private static Trainer Regress(Optimizer optimizer, float[] losses, float[] weight, float[] bias)
    {
        var builder = new GraphBuilder();
        var x = builder.Input("x", TensorElementType.Float, ["N", 3]);
        var transposed = builder.Initializer("weight", Tensor.Create<float>(Sequence(6, 0.1), 2, 3)).Transpose(1, 0);
        builder.Output("y", x.MatMul(transposed) + builder.Initializer("bias", Vector(Sequence(2, 0.5))));
        var graph = TrainingGraph.Build(builder.ToModel(), Sizes(4),
            (training, outputs) => Losses.MeanSquaredError(outputs["y"], training.Input("target", TensorElementType.Float, [4, 2])),
            new() { Optimizer = optimizer });
        var trainer = new Trainer(graph);
        for (var step = 0; step < losses.Length; step++)
        {
            Sequence(12, step * 1.3).CopyTo(trainer.Input<float>("x"));
            Sequence(8, (step * 0.9) + 2).CopyTo(trainer.Input<float>("target"));
            Assert.Equal(losses[step], trainer.Step(0.1f / (1 + step)), 1e-5);
        }
        var trained = trainer.Export().Graph.Initializers;
        Near(weight, trained["weight"].AsSpan<float>());
        Near(bias, trained["bias"].AsSpan<float>());
        return trainer;
    }

    private static float[] Sequence(int count, double start) =>
        [.. Enumerable.Range(0, count).Select(i => (float)Math.Sin(start + (0.7 * i)))];

    private static void Near(ReadOnlySpan<float> expected, ReadOnlySpan<float> actual)
    {
        Assert.Equal(expected.Length, actual.Length);
        for (var i = 0; i < expected.Length; i++)
            Assert.Equal(expected[i], actual[i], 1e-5);
    }
}
