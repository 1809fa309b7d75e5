using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Tests.Models;

public class SccanTests
{
    private static readonly SccanConfig Mini = Sccan.Variants["sccan_nano"] with
    {
        Backbone = Sccan.Variants["sccan_nano"].Backbone with { Widths = [8, 8, 12, 16] },
        ShotCount = 2, ImageSize = 32, FeatureSize = 8, Width = 16, BlockCount = 3, HeadCount = 2, WindowSize = 4,
    };

    [Theory]
    [InlineData("sccan_resnet50", 34_951_618, 11_373_314)]
    [InlineData("sccan_resnet101", 53_891_522, 11_373_314)]
    public void Published_variants_have_the_published_number_of_parameters(string variant, long total, long trained)
    {
        // There the scales of the frozen backbone are no parameters, but those are that the last block would treat the support with.
        const long Unused = (2 * 256 * 256) + (3 * 256 * 256) + (256 * 256) + (6 * 256);
        var weights = new RecordedWeights();
        Sccan.Build(Sccan.Variants[variant], weights);
        var counts = weights.Dims.Where(pair => !pair.Key.Contains(".running_", StringComparison.Ordinal)
                && !pair.Key.Contains(".bn", StringComparison.Ordinal) && !pair.Key.Contains(".downsample.1.", StringComparison.Ordinal))
            .ToLookup(
                pair => pair.Key.StartsWith("backbone.", StringComparison.Ordinal),
                pair => pair.Value.Aggregate(1L, (product, dim) => product * dim));
        Assert.Equal(trained, counts[false].Sum() + Unused);
        Assert.Equal(total - trained, counts[true].Sum());
    }

    [Fact]
    public void The_nano_variant_is_small()
    {
        var weights = new RecordedWeights();
        Sccan.Build(Sccan.Variants["sccan_nano"], weights);
        Assert.InRange(weights.ParameterCount, 500_000, 1_500_000);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void Support_images_can_be_computed_apart(int supportCount)
    {
        const int QueryCount = 3;
        var inputs = Episodes(QueryCount);
        if (supportCount == 1)
        {
            // The same support for all queries.
            foreach (var name in new[] { "support", "mask" })
                inputs[name] = Repeat(First(inputs[name]), QueryCount);
        }
        var weights = new RandomWeights(1);
        var expected = SessionRunner.Run(Sccan.Build(Mini, weights), inputs)["logits"];

        var support = SessionRunner.Run(Sccan.BuildSupport(Mini, weights), new Dictionary<string, Tensor>
        {
            ["support"] = supportCount == 1 ? First(inputs["support"]) : inputs["support"],
            ["mask"] = supportCount == 1 ? First(inputs["mask"]) : inputs["mask"],
        });
        Assert.Equal(supportCount, support["prototype"].Dims[0]);
        using var kernels = new SessionOptions();
        KernelLibrary.Register(kernels);
        foreach (var options in new[] { null, kernels })
        {
            var query = new Dictionary<string, Tensor>(support) { ["x"] = inputs["x"] };
            var actual = SessionRunner.Run(Sccan.BuildQuery(Mini, weights), query, options)["logits"];
            Assert.Equal([QueryCount, 2, Mini.ImageSize, Mini.ImageSize], actual.Dims);
            AssertClose(expected, actual);
        }
    }

    [Fact]
    public void A_checkpoint_of_the_whole_model_makes_both_parts()
    {
        var whole = Sccan.Build(Mini, new RandomWeights(1)).Graph;
        var checkpoint = new Checkpoint(whole.Initializers.Where(pair => Graph.IsWeight(pair.Key, pair.Value)).ToDictionary());
        var (support, query) = (Sccan.BuildSupport(Mini, checkpoint).Graph, Sccan.BuildQuery(Mini, checkpoint).Graph);
        Assert.Equal(support.Outputs.Order(), query.Inputs.Except(["x"]).Order());

        var more = new Dictionary<string, Tensor>(checkpoint.Names.ToDictionary(name => name, name => whole.Initializers[name]))
        {
            ["other.weight"] = Tensor.Create<float>(new float[3], 3),
        };
        Assert.Contains("Surplus (1): other.weight",
            Assert.Throws<InvalidDataException>(() => Sccan.Build(Mini, new Checkpoint(more))).Message);
    }

    [Fact]
    public void Every_parameter_has_a_gradient() => ParameterGradients.AssertAll(
        Sccan.Build(Mini with { FeatureDropRate = 0.5f, ClassifierDropRate = 0.1f }, new RandomWeights(1)), Episodes(2));

    [Fact]
    public void A_frozen_backbone_has_no_gradient()
    {
        var model = Sccan.Build(Mini with { IsBackboneFrozen = true }, new RandomWeights(1));
        GraphSimplifier.FixSizes(model.Graph, new Dictionary<string, long> { ["N"] = 2 }, model.Functions);
        Backward.Prepare(model.Graph, model.Functions);
        var builder = new GraphBuilder(model.Graph);
        const string Frozen = "backbone.body.layer3.0.conv1.weight", Trained = "down_supp.0.weight";
        var gradients = Backward.Differentiate(builder["logits"].ReduceMean([0, 1, 2, 3]), [Frozen, Trained]);
        Assert.Equal([Trained], gradients.Keys.Intersect([Frozen, Trained]));
    }

    [Theory]
    [InlineData(TrainingPrecision.Float32)]
    [InlineData(TrainingPrecision.Mixed)]
    public void Training_with_the_dice_loss_lowers_it(TrainingPrecision precision)
    {
        // ONNX Runtime's CPU provider has no gradient of max-pooling in half precision.
        var isFrozen = precision == TrainingPrecision.Mixed;
        var inputs = Episodes(2);
        var graph = TrainingGraph.Build(
            Sccan.Build(Mini with { IsBackboneFrozen = isFrozen }, new RandomWeights(1)), new Dictionary<string, long> { ["N"] = 2 },
            (builder, outputs) => Losses.Dice(
                outputs["logits"], builder.Input("labels", TensorElementType.UInt8, [2, Mini.ImageSize, Mini.ImageSize])),
            new TrainingOptions { Optimizer = new AdamW(), Precision = precision, FreezeBatchNormalization = isFrozen });
        var products = graph.Step.Graph.Nodes
            .Where(node => node.OpType == "MatMul" && node.Name.StartsWith("prior/", StringComparison.Ordinal)).ToArray();
        Assert.NotEmpty(products);
        Assert.All(products, node => Assert.Equal(TensorElementType.Float, graph.Step.Graph.Info(node.Outputs[0]).Type));
        using var trainer = new Trainer(graph, seed: 1);
        inputs["x"].AsSpan<float>().CopyTo(trainer.Input<float>("x"));
        inputs["support"].AsSpan<float>().CopyTo(trainer.Input<float>("support"));
        inputs["mask"].AsSpan<byte>().CopyTo(trainer.Input<byte>("mask"));
        var labels = trainer.Input<byte>("labels");
        for (var i = 0; i < labels.Length; i++)
            labels[i] = (byte)(i % Mini.ImageSize < 12 ? 1 : i % Mini.ImageSize < 14 ? 255 : 0);
        var first = trainer.Step(1e-3f);
        var last = first;
        for (var step = 0; step < 15; step++)
            last = trainer.Step(1e-3f);
        Assert.InRange(last, 0, 0.9f * first);
    }

    [Fact]
    public void Contradictions_are_refused()
    {
        Assert.Contains("SccanConfig.FeatureSize is 10; it must be a multiple of the window size 4", Refused(Mini with { FeatureSize = 10 }));
        Assert.Contains("SccanConfig.Width is 15; it must be a multiple of the 2 heads", Refused(Mini with { Width = 15 }));
        Assert.Contains("SccanConfig.ShotCount is 0", Refused(Mini with { ShotCount = 0 }));
        Assert.Contains("SccanConfig.Stride is 16; it can be 4 or 8", Refused(Mini with { Stride = 16 }));

        static string Refused(SccanConfig config) =>
            Assert.Throws<ArgumentException>(() => Sccan.BuildQuery(config, new RandomWeights(1))).Message;
    }

    // Objects are the left halves of the support images.
    private static Dictionary<string, Tensor> Episodes(int count)
    {
        var (shots, size) = (Mini.ShotCount, Mini.ImageSize);
        var mask = new byte[count * shots * size * size];
        for (var i = 0; i < mask.Length; i++)
            mask[i] = (byte)(i % size < size / 2 ? 1 : i % size < (size / 2) + 2 ? 255 : 0);
        return new()
        {
            ["x"] = RandomTensor.Float(1, count, 3, size, size),
            ["support"] = RandomTensor.Float(2, count, shots, 3, size, size),
            ["mask"] = Tensor.Create<byte>(mask, count, shots, size, size),
        };
    }

    private static Tensor First(Tensor batch) =>
        new(batch.Type, [1, .. batch.Dims.Skip(1)], batch.Data[..(batch.Data.Length / (int)batch.Dims[0])]);

    private static Tensor Repeat(Tensor one, int count) => new(
        one.Type, [count, .. one.Dims.Skip(1)], Enumerable.Repeat(one.Data.ToArray(), count).SelectMany(bytes => bytes).ToArray());

    private static void AssertClose(Tensor expected, Tensor actual)
    {
        for (var i = 0; i < expected.ElementCount; i++)
            Assert.Equal(expected.AsSpan<float>()[i], actual.AsSpan<float>()[i], 1e-4f);
    }
}
