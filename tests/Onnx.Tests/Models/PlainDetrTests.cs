using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Tests.Models;

public class PlainDetrTests
{
    private const int Batch = 2, Objects = 3;
    private const string Reparameterized = "reparameterised";

    private static readonly PlainDetrConfig Tiny = new()
    {
        Backbone = new()
        {
            Width = 8, Depths = [1, 2, 1, 1], HeadCounts = [1, 2, 2, 4], WindowSize = 4, PretrainedWindowSizes = [4, 4, 4, 4],
            IsGlobal = [false, false, false, true],
        },
        Width = 32, HeadCount = 4, MlpWidth = 32, LayerCount = 2, QueryCount = 6, AuxiliaryQueryCount = 8, BoxBiasWidth = 8, ClassCount = 3,
    };

    [Theory]
    [InlineData("plain_detr_swinv2_small_sup_ape", 62_644_691)]
    [InlineData("plain_detr_swinv2_small_sup_boxrpe", 62_712_275)]
    [InlineData("plain_detr_swinv2_small_mim_boxrpe_reparam", 62_712_275)]
    public void Published_models_have_the_published_number_of_parameters(string name, long count)
    {
        var counting = new CountingWeights();
        PlainDetr.Build(PlainDetr.Variants[name], counting);
        Assert.Equal(count, counting.Count);
    }

    [Theory]
    [InlineData(false, BoxBias.Linear)]
    [InlineData(true, BoxBias.Linear)]
    [InlineData(false, BoxBias.None)]
    [InlineData(true, BoxBias.Logarithmic)]
    public void Every_parameter_is_trained(bool isReparameterized, BoxBias bias)
    {
        var config = Tiny with { IsReparameterized = isReparameterized, BoxBias = bias, ProposalSize = 4 };
        var graph = LossGraph(config, null, null);
        var results = Run(graph);
        Assert.True(float.IsFinite(results["loss"].AsSpan<float>()[0]));
        var parameters = Parameters(graph);
        Assert.Equal(parameters.Select(name => "gradient of " + name).Order(), results.Keys.Where(name => name != "loss").Order());
        foreach (var parameter in parameters)
        {
            var gradient = results["gradient of " + parameter].AsSpan<float>().ToArray();
            Assert.All(gradient, value => Assert.True(float.IsFinite(value), parameter));
            Assert.True(gradient.Any(value => value != 0), parameter);
        }
    }

    // The loss, or the sum of some of its terms, with the gradients of parameters, or of all.
    private static Graph LossGraph(PlainDetrConfig config, string[]? parameters, string? terms)
    {
        var model = PlainDetr.BuildForTraining(config, new SomeWeights(), 80, 96);
        var graph = model.Graph;
        parameters ??= Parameters(graph);
        GraphSimplifier.FixSizes(graph, new Dictionary<string, long> { ["N"] = Batch }, model.Functions);
        var outputs = graph.Outputs.ToArray();
        Backward.Prepare(graph, model.Functions);
        var builder = new GraphBuilder(graph);
        var loss = new DetectionLoss(config, DetectionTargets.AddInputs(builder, Batch, Objects), copyCount: 2);
        var total = loss.Of(outputs.ToDictionary(name => name, name => builder[name]));
        if (terms is not null)
            total = terms.Split(' ').Select(term => loss.Terms[term]).Aggregate((sum, term) => sum + term);
        graph.Outputs.Clear();
        builder.Output("loss", total);
        var gradients = Backward.Differentiate(total, parameters);
        foreach (var parameter in parameters.Where(gradients.ContainsKey))
            builder.Output("gradient of " + parameter, gradients[parameter]);
        if (config.IsReparameterized)
            graph.Name = Reparameterized;
        return graph;
    }

    private static Dictionary<string, Tensor> Run(Graph graph)
    {
        var scale = graph.Name == Reparameterized ? 80f : 1;
        var boxes = new[] { 0.3f, 0.4f, 0.2f, 0.3f, 0.6f, 0.5f, 0.5f, 0.4f, 0.5f, 0.5f, 0.1f, 0.1f };
        return SessionRunner.Run(new GraphBuilder(graph).ToModel(), new Dictionary<string, Tensor>
        {
            ["image"] = RandomTensor.Float(1, Batch, 3, 80, 96),
            ["size"] = Tensor.Create<long>([80, 96, 70, 64], Batch, 2),
            ["target_boxes"] = Tensor.Create<float>([.. boxes.Concat(boxes).Select(side => side * scale)], Batch, Objects, 4),
            ["target_classes"] = Tensor.Create<long>([0, 2, 1, 1, 0, 0], Batch, Objects),
            ["target_count"] = Tensor.Create<long>([2, 3], Batch),
        });
    }

    private static string[] Parameters(Graph graph) =>
    [
        .. graph.Initializers
            .Where(entry => entry.Value.Type == TensorElementType.Float && Graph.IsWeight(entry.Key, entry.Value)
                && !entry.Key.Contains("const_", StringComparison.Ordinal))
            .Select(entry => entry.Key),
    ];

    // Of parameters that the terms depend on through no box that is taken as given.
    [Theory]
    [InlineData("loss_bbox_enc loss_giou_enc", "backbone.0.net.body.patch_embed.proj.weight")]
    [InlineData("loss_bbox_enc loss_giou_enc", "backbone.0.net.body.layers.1.blocks.1.attn.qkv.weight")]
    [InlineData("loss_bbox_enc loss_giou_enc", "backbone.0.net.body.layers.1.blocks.1.attn.cpb_mlp.2.weight")]
    [InlineData("loss_bbox_enc loss_giou_enc", "backbone.0.net.body.layers.1.blocks.0.attn.logit_scale")]
    [InlineData("loss_bbox_enc loss_giou_enc", "backbone.0.net.body.layers.3.blocks.0.attn.cpb_mlp.0.weight")]
    [InlineData("loss_bbox_enc loss_giou_enc", "backbone.0.net.body.layers.2.downsample.reduction.weight")]
    [InlineData("loss_bbox_enc loss_giou_enc", "input_proj.0.1.weight")]
    [InlineData("loss_bbox_enc loss_giou_enc", "transformer.enc_output_proj.0.0.weight")]
    [InlineData("loss_bbox_enc loss_giou_enc", "bbox_embed.2.layers.1.weight")]
    [InlineData("loss_ce loss_bbox loss_giou", "transformer.decoder.layers.1.cross_attn.cpb_mlp1.0.weight")]
    [InlineData("loss_ce loss_bbox loss_giou", "transformer.decoder.layers.1.cross_attn.k.weight")]
    [InlineData("loss_ce loss_bbox loss_giou", "transformer.decoder.layers.1.self_attn.in_proj_weight")]
    [InlineData("loss_ce_one2many loss_bbox_one2many loss_giou_one2many", "transformer.decoder.layers.1.cross_attn.cpb_mlp2.2.weight")]
    [InlineData("loss_ce_one2many loss_bbox_one2many loss_giou_one2many", "transformer.decoder.layers.1.linear1.weight")]
    public void Gradients_are_the_slopes_of_the_losses(string terms, string parameter)
    {
        // Small, for there are kinks; the class loss is large, so that its differences need more.
        var step = terms.Contains("_ce", StringComparison.Ordinal) ? 2e-4f : 3e-5f;
        var graph = LossGraph(Tiny with { IsReparameterized = true, ProposalSize = 4 }, [parameter], terms);
        var start = graph.Initializers[parameter];
        var direction = RandomTensor.Float(5, [.. start.Dims]).AsSpan<float>().ToArray();
        var gradient = Run(graph)["gradient of " + parameter].AsSpan<float>().ToArray();
        var expected = gradient.Zip(direction, (x, y) => (double)x * y).Sum();

        var actual = (Loss(step) - Loss(-step)) / (2 * step);
        Assert.True(Math.Abs(expected - actual) <= 0.02 * Math.Max(1, Math.Abs(expected)), $"{expected}, differences say {actual}");

        double Loss(float distance)
        {
            var moved = start.AsSpan<float>().ToArray().Zip(direction, (x, y) => x + (distance * y)).ToArray();
            graph.Initializers[parameter] = Tensor.Create<float>(moved, [.. start.Dims]);
            return Run(graph)["loss"].AsSpan<float>()[0];
        }
    }

    [Fact]
    public void Depth_and_decay_follow_the_published_recipe()
    {
        var config = PlainDetr.Variants["plain_detr_swinv2_small_mim_boxrpe"];
        Assert.Equal(25, config.BlocksBehind("backbone.0.net.body.patch_embed.proj.weight"));
        Assert.Equal(24, config.BlocksBehind("backbone.0.net.body.layers.0.blocks.0.attn.qkv.weight"));
        Assert.Equal(23, config.BlocksBehind("backbone.0.net.body.layers.0.downsample.reduction.weight"));
        Assert.Equal(1, config.BlocksBehind("backbone.0.net.body.layers.3.blocks.1.norm1.weight"));
        Assert.Equal(0, config.BlocksBehind("backbone.0.net.body.norm3.weight"));
        Assert.Equal(0, config.BlocksBehind("backbone.0.upsample.0.weight"));
        Assert.True(PlainDetrConfig.Decays("input_proj.0.1.weight"));
        Assert.False(PlainDetrConfig.Decays("backbone.0.net.body.layers.0.blocks.0.attn.q_bias"));
        Assert.False(PlainDetrConfig.Decays("transformer.level_embed"));
    }

    private sealed class CountingWeights : WeightSource
    {
        public long Count { get; private set; }

        public override string Description => "counted weights";

        public override Tensor Find(string name, IReadOnlyList<long> dims, Initialization initialization)
        {
            Count += dims.Aggregate(1L, (product, dim) => product * dim);
            return Initialization.Zeros.Draw(0, name, dims);
        }
    }

    // Away from the start, where whole branches are zero.
    private sealed class SomeWeights : WeightSource
    {
        public override string Description => "some weights";

        public override Tensor Find(string name, IReadOnlyList<long> dims, Initialization initialization) =>
            Initialization.Uniform(dims.Count == 1 ? 0.5 : 0.3).Draw(1, name, dims);
    }
}
