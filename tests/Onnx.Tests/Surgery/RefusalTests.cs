using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Surgery;

namespace Microsoft.ML.Attention.Onnx.Tests.Surgery;

/// <summary>Graphs that cannot be made consistent: the message names the block, the node and what was expected.</summary>
public class RefusalTests
{
    private const string Module = "/up_blocks.0/attentions.1/transformer_blocks.0/attn1";

    [Fact]
    public void AMask_IsNamed() => Refused(
        graph => InsertAfter(graph, $"{Module}/MatMul", "Add", new GraphBuilder(graph).Constant(Tensor.Create<float>([0.5f], 1)).Name),
        "up_blocks.0.attentions.1.transformer_blocks.0.attn1", $"{Module}/Softmax", "expected scores without a mask", "'inserted' (Add)");

    [Fact]
    public void ANormalisationOfQueries_IsNamed() => Refused(
        graph => InsertAfter(graph, $"{Module}/to_q/MatMul", "Tanh"),
        "up_blocks.0.attentions.1", "expected a projection by weights", "'inserted' (Tanh)");

    [Fact]
    public void AScaleThatIsComputed_IsNamed() => Refused(
        graph => InsertAfter(graph, $"{Module}/MatMul", "Mul", "timestep"),
        "up_blocks.0.attentions.1", "'inserted' (Mul)");

    [Fact]
    public void ALayerBeforeTheOutputProjection_IsNamed() => Refused(
        graph => InsertAfter(graph, $"{Module}/Reshape_3", "Sigmoid"),
        "up_blocks.0.attentions.1", "expected a projection by weights after the attention", "'inserted' (Sigmoid)");

    [Fact]
    public void EveryMismatch_IsListed()
    {
        var message = Refused(graph =>
        {
            InsertAfter(graph, $"{Module}/to_q/MatMul", "Tanh");
            InsertAfter(graph, "/up_blocks.1/attentions.0/transformer_blocks.0/attn1/to_v/MatMul", "Tanh");
        });
        Assert.StartsWith("2 of the attentions", message);
        Assert.Contains("up_blocks.1.attentions.0.transformer_blocks.0.attn1", message);
    }

    [Fact]
    public void CrossAttentionsMayBeAnything()
    {
        var unet = ExportedGraph.OfPyTorch("xl-plain-14");
        InsertAfter(unet.Graph, "/up_blocks.0/attentions.1/transformer_blocks.0/attn2/to_q/MatMul", "Tanh");
        Assert.Equal(4, ConsistentUnet.Rewrite(unet).Layers.Count);
    }

    [Fact]
    public void AGraphWithoutAWayUp_IsTold()
    {
        var classifier = BiFormer.Build(BiFormer.Variants["biformer_tiny"], new AbsentWeights(), 224, 224);
        var error = Assert.Throws<InvalidDataException>(() => ConsistentUnet.Rewrite(classifier));
        Assert.Contains("no self-attention in up blocks", error.Message);
        error = Assert.Throws<InvalidDataException>(() => FreeU.Rewrite(classifier));
        Assert.Contains("no skip connections on the way up", error.Message);
    }

    [Fact]
    public void ASecondTime_IsRefused()
    {
        var unet = ExportedGraph.OfPyTorch("xl-plain-14");
        var consistent = ConsistentUnet.Rewrite(unet).Model;
        Assert.Contains("already", Assert.Throws<InvalidDataException>(() => ConsistentUnet.Rewrite(consistent)).Message);
        Assert.Contains("already", Assert.Throws<InvalidDataException>(() => FreeU.Rewrite(FreeU.Rewrite(unet))).Message);
        Assert.Contains("rewrite the UNet first", Assert.Throws<InvalidDataException>(() => new ConsistentUnet(unet)).Message);
    }

    [Fact]
    public void AnOldOperatorSet_IsRefused()
    {
        var unet = ExportedGraph.OfPyTorch("xl-plain-14");
        unet.Opsets[""] = 11;
        var error = Assert.Throws<InvalidDataException>(() => ConsistentUnet.Rewrite(unet));
        Assert.Contains("operator set 11; expected 13 or later", error.Message);
    }

    [Fact]
    public void AnotherConfiguration_IsRefused()
    {
        var unet = ExportedGraph.OfPyTorch("xl-plain-14");
        var config = new UNet2DConditionConfig
        {
            DownBlockTypes = ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
            UpBlockTypes = ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
            BlockOutChannels = [4, 4, 8],
            LayersPerBlock = [1],
            AttentionHeadDim = [2],
        };
        Assert.Equal(4, ConsistentUnet.Rewrite(unet, new() { Config = config }).Layers.Count);
        Refuses(config with { AttentionHeadDim = [1, 4, 2] },
            "up_blocks.1.attentions.0.transformer_blocks.0.attn1: expected 4 heads by the configuration, found 2");
        Refuses(config with { LayersPerBlock = [2] },
            "Up block 0 of graph 'torch_jit': expected 3 self-attentions by the configuration, found 2");
        Refuses(config with { DownBlockTypes = ["DownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D"] },
            "expected 6 self-attentions by the configuration, 4 of them in up blocks, found 7");

        void Refuses(UNet2DConditionConfig other, string message) => Assert.Contains(
            message, Assert.Throws<InvalidDataException>(() => ConsistentUnet.Rewrite(unet, new() { Config = other })).Message);
    }

    private static string Refused(Action<Graph> spoil, params string[] parts)
    {
        var unet = ExportedGraph.OfPyTorch("xl-plain-14");
        spoil(unet.Graph);
        var message = Assert.Throws<InvalidDataException>(() => ConsistentUnet.Rewrite(unet)).Message;
        Assert.All(parts, part => Assert.Contains(part, message));
        return message;
    }

    private static void InsertAfter(Graph graph, string name, string opType, params string[] others)
    {
        var position = graph.Nodes.FindIndex(node => node.Name == name);
        var output = graph.Nodes[position].Outputs[0];
        graph.Nodes[position].Outputs[0] = $"{output}/before";
        graph.Nodes.Insert(position + 1, new()
        {
            OpType = opType, Name = "inserted", Inputs = [$"{output}/before", .. others], Outputs = [output],
        });
    }
}
