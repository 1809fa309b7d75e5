using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Ops;
using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;
using static Microsoft.ML.Attention.Onnx.Tests.Training.StripedPictures;

namespace Microsoft.ML.Attention.Onnx.Tests.Training;

public class MixedPrecisionTests
{
    [Fact]
    public void Products_run_in_half_and_state_stays_single()
    {
        var graph = Graph(ConvolutionAndAttention(), TrainingPrecision.Mixed).Step.Graph;
        ShapeInference.Infer(graph);
        foreach (var node in graph.Nodes.Where(node => node.OpType is "Conv" or "MatMul" or "Gemm" or "DepthwiseConv"
            or "BiLevelRoutingAttention" or "GeluGrad" or "LayerNormalizationGrad" or "GroupedConvWeightGrad"))
        {
            Assert.All(node.Inputs.Where(input => input.Length > 0 && !input.Contains("logsumexp", StringComparison.Ordinal)).Take(2),
                input => Assert.Equal(TensorElementType.Float16, graph.Info(input).Type));
        }
        Assert.All(graph.Inputs.Where(input => input != "labels"), input => Assert.Equal(TensorElementType.Float, graph.Info(input).Type));
        Assert.All(graph.Outputs, output => Assert.Equal(TensorElementType.Float, graph.Info(output).Type));
        var normalization = Assert.Single(graph.Nodes, node => node.OpType == nameof(BatchNormalizationTraining));
        Assert.Equal(
            [TensorElementType.Float16, .. Enumerable.Repeat(TensorElementType.Float, 4)],
            normalization.Inputs.Select(input => graph.Info(input).Type!.Value));
    }

    [Fact]
    public void A_net_learns_as_in_single_precision() => LearnsAsInSinglePrecision(ConvolutionAndAttention(), CreateTrainer);

    [Fact]
    public void A_net_learns_as_in_single_precision_on_a_gpu()
    {
        CudaSession.SkipWithoutGpu();
        LearnsAsInSinglePrecision(ConvolutionAndAttention(), CreateCudaTrainer);
    }

    [Fact]
    public void A_BiFormer_learns_as_in_single_precision() => LearnsAsInSinglePrecision(SmallBiFormer(), CreateTrainer);

    [Fact]
    public void A_BiFormer_learns_as_in_single_precision_on_a_gpu()
    {
        CudaSession.SkipWithoutGpu();
        LearnsAsInSinglePrecision(SmallBiFormer(), CreateCudaTrainer);
    }

    [Fact]
    public void A_step_that_overflows_changes_nothing_and_lowers_the_scale()
    {
        using var trainer = CreateTrainer(Graph(ConvolutionAndAttention(), TrainingPrecision.Mixed));
        Train(trainer, 3);
        var before = (trainer.Export().ToBytes(), trainer.Export(averaged: true).ToBytes());
        trainer.Input<float>("x").Fill(1e30f);
        trainer.Step(0.1f);
        Assert.Equal((1, 4, 32768), (trainer.SkippedStepCount, trainer.StepCount, trainer.LossScale));
        Assert.Equal(before.Item1, trainer.Export().ToBytes());
        Assert.Equal(before.Item2, trainer.Export(averaged: true).ToBytes());
        var losses = Train(trainer, 30);
        Assert.True(losses[^1] < 0.5f, $"{losses[0]} ... {losses[^1]}");
        Assert.Equal(1, trainer.SkippedStepCount);
    }

    [Fact]
    public void Momentum_is_not_touched_by_a_step_that_overflows()
    {
        using var trainer = new Trainer(TrainingGraph.Build(ConvolutionAndAttention(), Sizes(8), CrossEntropy(8, 0),
            new() { Optimizer = new Sgd(), Precision = TrainingPrecision.Mixed }));
        Train(trainer, 2);
        var before = trainer.Export().ToBytes();
        trainer.Input<float>("x").Fill(float.NaN);
        trainer.Step(0.1f);
        Assert.Equal(before, trainer.Export().ToBytes());
        Assert.All(Train(trainer, 5), loss => Assert.True(float.IsFinite(loss)));
    }

    [Fact]
    public void Scale_and_skipped_steps_are_resumed()
    {
        var graph = Graph(ConvolutionAndAttention(), TrainingPrecision.Mixed);
        var path = Path.Combine(Path.GetTempPath(), $"{Guid.NewGuid():N}.safetensors");
        try
        {
            using var whole = CreateTrainer(graph);
            whole.Input<long>("labels").Clear();
            whole.Input<float>("x").Fill(1e30f);
            whole.Step(0.1f);
            Train(whole, 2);
            whole.SaveState(path);
            using var second = CreateTrainer(graph);
            second.LoadState(path);
            Assert.Equal((1, 3, 32768), (second.SkippedStepCount, second.StepCount, second.LossScale));
            Assert.Equal(Train(whole, 3), Train(second, 3));
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Fact]
    public void The_scale_grows_after_many_good_steps_and_gives_up_where_nothing_helps()
    {
        var scale = new LossScale();
        for (var step = 0; step < 1999; step++)
            scale.Update(overflowed: false);
        Assert.Equal(65536, scale.Value);
        scale.Update(overflowed: false);
        Assert.Equal(131072, scale.Value);
        scale.Update(overflowed: true);
        Assert.Equal(65536, scale.Value);
        Assert.Contains("Float32", Assert.Throws<InvalidOperationException>(() =>
        {
            for (var step = 0; step < 100; step++)
                scale.Update(overflowed: true);
        }).Message);
    }

    [Fact]
    public void What_half_cannot_hold_stays_in_single_precision()
    {
        var builder = new GraphBuilder();
        var x = builder.Input("x", TensorElementType.Float, [4, 8]);
        var product = x.MatMul(builder.Initializer("weight", Noisy(1, 8, 8)));
        var norm = ((product * product).ReduceSum([1], keepDims: true) + 1e-12).Apply("Sqrt");
        builder.Output("y", (product / norm).MatMul(builder.Initializer("fixed", Noisy(2, 8, 2))));
        var graph = builder.Graph.Clone();
        ShapeInference.Infer(graph);
        var inHalf = MixedPrecision.Apply(graph, new HashSet<string> { "weight" });
        Assert.Equal(["weight"], inHalf);
        var types = graph.Nodes.ToLookup(node => node.OpType, node => graph.Info(node.Outputs[0]).Type!.Value);
        Assert.All(types["MatMul"], type => Assert.Equal(TensorElementType.Float16, type));
        Assert.All(types["ReduceSum"].Concat(types["Add"]).Concat(types["Sqrt"]).Concat(types["Div"]),
            type => Assert.Equal(TensorElementType.Float, type));
        Assert.Equal(TensorElementType.Float16, graph.Initializers["fixed.half"].Type);
        Assert.Equal(TensorElementType.Float, graph.Info("y").Type);
    }

    [Fact]
    public void What_a_model_casts_to_single_precision_stays_there()
    {
        var builder = new GraphBuilder();
        var x = builder.Input("x", TensorElementType.Float, [4, 8]);
        var product = x.MatMul(builder.Initializer("weight", Noisy(1, 8, 8)));
        var likeness = product.Cast(TensorElementType.Float).MatMul(product.Transpose(1, 0)).Softmax();
        builder.Output("y", builder.Op("CastLike", [likeness, product]).MatMul(product));
        var graph = builder.Graph.Clone();
        ShapeInference.Infer(graph);
        MixedPrecision.Apply(graph, new HashSet<string>());
        var types = graph.Nodes.Where(node => node.OpType is "MatMul" or "Softmax")
            .Select(node => graph.Info(node.Outputs[0]).Type!.Value);
        Assert.Equal([TensorElementType.Float16, TensorElementType.Float, TensorElementType.Float, TensorElementType.Float16], types);
        var inputs = new Dictionary<string, Tensor> { ["x"] = RandomTensor.Float(1, 4, 8) };
        Assert.Equal([4, 8], SessionRunner.Run(new GraphBuilder(graph).ToModel(), inputs)["y"].Dims);
    }

    private static OnnxModel SmallBiFormer() => BiFormer.Build(
        new()
        {
            Depths = [1, 1], Widths = [16, 32], MlpRatios = [2, 2], HeadWidth = 16, StemStride = 1, WindowCounts = [4, 2],
            TopKs = [2, -2], ClassCount = 2,
        },
        new RandomWeights(1), 8, 8);

    private static void LearnsAsInSinglePrecision(OnnxModel model, Func<TrainingGraph, Trainer> create)
    {
        using var single = create(Graph(model, TrainingPrecision.Float32));
        using var mixed = create(Graph(model, TrainingPrecision.Mixed));
        var expected = Train(single, 60);
        var actual = Train(mixed, 60);
        // The first scale may be too large.
        Assert.InRange(mixed.SkippedStepCount, 0, 4);
        Assert.Equal(expected[0], actual[0], 3e-3);
        Assert.Equal(expected[^5..].Average(), actual[^5..].Average(), 0.03);
    }

    private static TrainingGraph Graph(OnnxModel model, TrainingPrecision precision) =>
        TrainingGraph.Build(model, Sizes(8), CrossEntropy(8, 0.1f), new()
        {
            Optimizer = new AdamW { ClipNorm = 1, AverageDecay = 0.9f }, Precision = precision,
        });

    private static Trainer CreateTrainer(TrainingGraph graph) => new(graph, seed: 5);

    private static Trainer CreateCudaTrainer(TrainingGraph graph)
    {
        using var options = new SessionOptions();
        CudaSession.Register(options);
        return new(graph, options, cudaDevice: 0, seed: 5);
    }
}
