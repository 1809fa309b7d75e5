using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Tests;

public class HalfPrecisionTests
{
    private static readonly Dictionary<string, (Func<OnnxModel> Build, Dictionary<string, Tensor> Inputs, string Output)> Models = new()
    {
        ["biformer"] = (
            () => BiFormer.Build(
                new()
                {
                    Depths = [1, 1], Widths = [16, 32], MlpRatios = [2, 2], HeadWidth = 16, StemStride = 1, WindowCounts = [4, 2],
                    TopKs = [2, -2], ClassCount = 5,
                },
                new RandomWeights(1), 8, 8),
            new() { ["x"] = RandomTensor.Float(1, 2, 3, 8, 8) }, "logits"),
        ["resnet"] = (
            () => ResNet.Build(ResNet.Variants["resnet_ela_nano"], new RandomWeights(1), 28, 28),
            new() { ["x"] = RandomTensor.Float(2, 2, ResNet.Variants["resnet_ela_nano"].InputChannels, 28, 28) }, "logits"),
        ["tnt"] = (
            () => ImageClassifiers.Find("ptnt_nano").Build(new RandomWeights(1), 28, 28),
            new() { ["x"] = RandomTensor.Float(3, 2, ImageClassifiers.Find("ptnt_nano").InputChannels, 28, 28) }, "logits"),
        ["raftmlp"] = (
            () => ImageClassifiers.Find("raftmlp_nano").Build(new RandomWeights(1), 28, 28),
            new() { ["x"] = RandomTensor.Float(3, 2, ImageClassifiers.Find("raftmlp_nano").InputChannels, 28, 28) }, "logits"),
        ["ugdc"] = (
            () => Ugdc.Build(new() { StemWidth = 8, Height = 80, Width = 96 }, new RandomWeights(1)),
            new() { ["x"] = RandomTensor.Float(4, 2, 3, 80, 96) }, "y"),
        ["sccan"] = (
            () => Sccan.Build(SmallSccan, new RandomWeights(1)),
            new()
            {
                ["x"] = RandomTensor.Float(5, 2, 3, 32, 32), ["support"] = RandomTensor.Float(6, 2, 1, 3, 32, 32),
                ["mask"] = Tensor.Create<byte>(Enumerable.Range(0, 2 * 32 * 32).Select(i => (byte)(i % 32 < 20 ? 1 : 0)).ToArray(), 2, 1, 32, 32),
            }, "logits"),
        ["plain_detr"] = (
            () => PlainDetr.Build(SmallDetr, new RandomWeights(1), detectionCount: 5, height: 64, width: 96),
            new()
            {
                ["image"] = RandomTensor.Float(7, 2, 3, 64, 96), ["size"] = Tensor.Create<long>([64, 96, 60, 80], 2, 2),
                ["original_size"] = Tensor.Create<long>([128, 192, 60, 80], 2, 2),
            }, "scores"),
    };

    private static SccanConfig SmallSccan => Sccan.Variants["sccan_nano"] with
    {
        Backbone = Sccan.Variants["sccan_nano"].Backbone with { Widths = [8, 8, 16, 16] },
        ImageSize = 32, FeatureSize = 8, Width = 16, BlockCount = 2, HeadCount = 2, WindowSize = 4,
    };

    private static PlainDetrConfig SmallDetr => new()
    {
        Backbone = new()
        {
            Width = 8, Depths = [1, 2, 1, 1], HeadCounts = [1, 2, 2, 4], WindowSize = 4, PretrainedWindowSizes = [4, 4, 4, 4],
            IsGlobal = [false, false, false, true],
        },
        Width = 32, HeadCount = 4, MlpWidth = 32, LayerCount = 2, QueryCount = 6, AuxiliaryQueryCount = 0, BoxBiasWidth = 8, ClassCount = 3,
        IsReparameterized = true, HasUnscaledPositions = true, ProposalSize = 4,
    };

    public static TheoryData<string> Names => [.. Models.Keys];

    [Theory]
    [MemberData(nameof(Names))]
    public void Results_are_those_of_single_precision_but_for_rounding(string name) => Compare(name, new SessionOptions());

    [Theory]
    [MemberData(nameof(Names))]
    public void On_a_gpu_results_are_those_of_single_precision_but_for_rounding(string name)
    {
        CudaSession.SkipWithoutGpu();
        var options = new SessionOptions();
        CudaSession.Register(options);
        Compare(name, options);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Products_are_in_half_and_inputs_and_outputs_are_not(string name)
    {
        var model = Models[name].Build();
        var half = HalfPrecision.Convert(model);
        ShapeInference.Infer(half.Graph, half.Functions);
        var products = half.Graph.Nodes.Where(node => node.OpType is "Conv" or "Gemm" or "MatMul").ToArray();
        var inHalf = products.Count(node => half.Graph.Info(node.Outputs[0]).Type == TensorElementType.Float16);
        Assert.True(inHalf >= products.Length * 3 / 4, $"{inHalf} of {products.Length}");
        Assert.Equal(model.Graph.Inputs.Select(input => model.Graph.Info(input).Type), half.Graph.Inputs.Select(input => half.Graph.Info(input).Type));
        Assert.Equal(model.Graph.Outputs.Select(output => model.Graph.Info(output).Type), half.Graph.Outputs.Select(output => half.Graph.Info(output).Type));
    }

    [Fact]
    public void Maps_between_convolutions_have_their_channels_last()
    {
        var graph = HalfPrecision.Convert(Models["ugdc"].Build()).Graph;
        Assert.DoesNotContain(graph.Nodes, node => node.OpType is "Conv" or "ConvTranspose" or "BatchNormalization" or "Relu" or "MaxPool");
        Assert.Equal(
            [new long[] { 0, 2, 3, 1 }, [0, 3, 1, 2]],
            graph.Nodes.Where(node => node.OpType == "Transpose").Select(node => node.Attributes.Ints("perm")!)
                .Where(order => order.Length == 4));
    }

    [Fact]
    public void Convolutions_take_residual_sums_and_ReLU_in()
    {
        var builder = new GraphBuilder();
        var x = builder.Input("x", TensorElementType.Float, ["N", 16, 9, 7]);
        Value Weight(int seed, params long[] dims) => builder.Initializer($"weight{seed}", RandomTensor.Float(seed, dims));
        var hidden = x.Conv2d(Weight(1, 24, 16, 3, 3), null, padding: 1).Apply("Relu");
        var shortcut = x.Conv2d(Weight(2, 16, 16, 1, 1), Weight(3, 16));
        builder.Output("y", (hidden.Conv2d(Weight(4, 16, 24, 1, 1), null) + shortcut).Apply("Relu"));
        builder.Output("hidden", hidden);
        var model = builder.ToModel();
        var inputs = new Dictionary<string, Tensor> { ["x"] = RandomTensor.Float(5, 2, 16, 9, 7) };
        var expected = SessionRunner.Run(model, inputs);

        ChannelsLast.Apply(model.Graph);

        var convolutions = model.Graph.Nodes.Where(node => node.OpType == "ChannelsLastConv").ToArray();
        Assert.Equal(3, convolutions.Length);
        Assert.Equal([1, 0, 1], convolutions.Select(node => node.Attributes.Int("is_rectified")));
        Assert.DoesNotContain(model.Graph.Nodes, node => node.OpType is "Add" or "Relu");
        var actual = SessionRunner.Run(new GraphBuilder(model.Graph).ToModel(), inputs);
        foreach (var (name, tensor) in expected)
        {
            Assert.Equal(tensor.Dims, actual[name].Dims);
            Assert.All(tensor.AsSpan<float>().ToArray().Zip(actual[name].AsSpan<float>().ToArray()),
                pair => Assert.Equal(pair.First, pair.Second, 1e-4f));
        }
    }

    [Fact]
    public void Boxes_and_the_choice_of_the_best_are_in_single_precision()
    {
        var half = HalfPrecision.Convert(Models["plain_detr"].Build());
        ShapeInference.Infer(half.Graph, half.Functions);
        var single = half.Graph.Nodes.Where(node => node.OpType is "TopK" or "Sigmoid" or "Clip" or "Exp" or "GatherND"
            && !node.Name.StartsWith("backbone", StringComparison.Ordinal)).ToArray();
        Assert.NotEmpty(single);
        Assert.All(
            single.Where(node => node.OpType != "GatherND" || half.Graph.Info(node.Inputs[0]).Shape is { } shape && shape[-1] == 4),
            node => Assert.Equal(TensorElementType.Float, half.Graph.Info(node.Inputs[0]).Type));
    }

    [Fact]
    public void A_batch_normalisation_goes_into_the_convolution_before_it()
    {
        var builder = new GraphBuilder();
        var x = builder.Input("x", TensorElementType.Float, ["N", 3, 6, 6]);
        Value Random(string name, int seed, params long[] dims) => builder.Initializer(name, RandomTensor.Float(seed, dims));
        var map = x.Conv2d(Random("weight", 1, 4, 3, 3, 3), Random("conv_bias", 2, 4), padding: 1);
        map = builder.Op(
            "BatchNormalization",
            [
                map, Random("scale", 3, 4), Random("bias", 4, 4), Random("mean", 5, 4),
                builder.Initializer("variance", Tensor.Create<float>([0.5f, 1, 2, 4], 4)),
            ],
            new() { ["epsilon"] = 1e-3f });
        builder.Output("y", map.Apply("Relu"));
        var model = builder.ToModel();
        var inputs = new Dictionary<string, Tensor> { ["x"] = RandomTensor.Float(6, 2, 3, 6, 6) };
        var expected = SessionRunner.Run(model, inputs)["y"].AsSpan<float>().ToArray();

        BatchNormalizationFolding.Apply(model.Graph);

        Assert.Equal(["Conv", "Relu", "Identity"], model.Graph.Nodes.Select(node => node.OpType));
        var actual = SessionRunner.Run(model, inputs)["y"].AsSpan<float>().ToArray();
        Assert.All(expected.Zip(actual), pair => Assert.Equal(pair.First, pair.Second, 1e-5f));
    }

    [Fact]
    public void A_model_with_results_of_unknown_type_is_refused_by_name()
    {
        var builder = new GraphBuilder();
        var x = builder.Input("x", TensorElementType.Float, [2, 3]);
        builder.Output("y", builder.Op("SomethingElse", [x], domain: "elsewhere"));
        Assert.Contains("SomethingElse", Assert.Throws<NotSupportedException>(() => HalfPrecision.Convert(builder.ToModel())).Message);
    }

    private static void Compare(string name, SessionOptions options)
    {
        var (build, inputs, output) = Models[name];
        using (options)
        {
            var model = build();
            var expected = SessionRunner.Run(model, inputs)[output].AsSpan<float>().ToArray();
            var actual = SessionRunner.Run(HalfPrecision.Convert(model), inputs, options)[output].AsSpan<float>().ToArray();
            var scale = expected.Max(MathF.Abs);
            Assert.True(scale > 0);
            // SCCAN stretches its priors to [0, 1], and with them what rounding does to them.
            var tolerance = (name == "sccan" ? 0.06f : 0.02f) * scale;
            Assert.All(expected.Zip(actual), pair => Assert.Equal(pair.First, pair.Second, tolerance));
            Assert.NotEqual(expected, actual);
        }
    }
}
