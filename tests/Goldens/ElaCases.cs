using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Goldens;

/// <summary>Efficient local attention: the module, blocks with it, and whole networks.</summary>
internal sealed class ElaCases : IGoldenModel
{
    public string Name => "ela";

    public OnnxModel Build(GoldenCase golden)
    {
        var config = golden.Config;
        if (config.TryGetProperty("channels", out _))
            return Module(golden);
        if (config.TryGetProperty("block", out var block))
            return ResNetBlock(golden, block.GetString() == "bottleneck");
        if (config.TryGetProperty("depth", out var depth))
            return Classifier(golden, ResNet.Variants[$"resnet{depth}"] with { Attention = Attention(golden) }, "layer");
        if (config.TryGetProperty("backbone", out var backbone))
            return Segmentation(golden, ResNet.Variants[backbone.GetString()!]);
        if (config.TryGetProperty("expand_ratio", out _))
            return InvertedResidual(golden);
        if (config.TryGetProperty("width_mult", out var width))
        {
            var mobile = new MobileNetV2Config { WidthMultiplier = width.GetDouble(), Attention = Attention(golden) };
            return Classifier(golden, mobile, "features.");
        }
        throw new NotSupportedException($"variant '{golden.Variant}' of {Name} is not known");
    }

    private static EfficientLocalAttentionConfig Attention(GoldenCase golden) => new()
    {
        Kernel = golden.Config.GetProperty("kernel").GetInt32(),
        ChannelsPerGroup = golden.Config.GetProperty("channels_per_conv_group").GetInt32(),
        NormGroups = golden.Config.GetProperty("norm_groups").GetInt32(),
    };

    private static OnnxModel Module(GoldenCase golden) =>
        Part(golden, (map, parameters) => Attention(golden).Apply(map, parameters["ela"]));

    private static OnnxModel ResNetBlock(GoldenCase golden, bool isBottleneck)
    {
        var (planes, stride) = (golden.Config.GetProperty("planes").GetInt32(), golden.Config.GetProperty("stride").GetInt32());
        var isSegmentation = golden.Variant.StartsWith("segmentation", StringComparison.Ordinal);
        var config = new ResNetConfig
        {
            Block = isBottleneck ? Onnx.Models.ResNetBlock.Bottleneck : Onnx.Models.ResNetBlock.Basic,
            Depths = [1],
            Widths = [planes],
            Attention = Attention(golden),
            AttentionPosition = isSegmentation ? ResNetAttentionPosition.Inner : ResNetAttentionPosition.BlockEnd,
        };
        return Part(golden, (map, parameters) => ResNet.Block(map, parameters["block"], config, planes, stride));
    }

    private static OnnxModel InvertedResidual(GoldenCase golden)
    {
        int Int(string name) => golden.Config.GetProperty(name).GetInt32();
        return Part(golden, (map, parameters) => MobileNetV2.Block(
            map, parameters["block"], Attention(golden), Int("oup"), Int("expand_ratio"), Int("stride")));
    }

    // Something x to y.
    private static OnnxModel Part(GoldenCase golden, Func<Value, Parameters, Value> apply)
    {
        var builder = new GraphBuilder();
        var parameters = new Parameters(builder, golden.Weights);
        var map = builder.Input("x", TensorElementType.Float, golden.Inputs["x"].Shape.With(0, "N"));
        builder.Output("y", apply(map, parameters));
        parameters.ThrowIfUnfit();
        return builder.ToModel();
    }

    private static OnnxModel Classifier(GoldenCase golden, ImageClassifierConfig config, string layer)
    {
        var size = golden.Inputs["x"].Dims;
        var classes = golden.Config.GetProperty("num_classes").GetInt32();
        var model = (config with { ClassCount = classes }).Build(golden.Weights, (int)size[2], (int)size[3]);
        var builder = new GraphBuilder(model.Graph);
        builder.Output("y", builder["logits"]);
        foreach (var name in golden.Expected.Keys.Where(name => name.StartsWith("mid:" + layer, StringComparison.Ordinal)))
        {
            var last = model.Graph.Nodes.FindLast(node => node.Name.StartsWith(name["mid:".Length..] + "/", StringComparison.Ordinal))!;
            builder.Output(name, Samples(builder[last.Outputs[0]]));
        }
        return model;
    }

    // Every (size / 8)-th position of the last three axes.
    private static Value Samples(Value map) =>
        Enumerable.Range(1, 3).Aggregate(map, (kept, axis) =>
            kept.Slice(axis, 0, long.MaxValue, Math.Max(1, map.Shape[axis].Value / 8)));

    private static OnnxModel Segmentation(GoldenCase golden, ResNetConfig backbone)
    {
        var size = golden.Inputs["x"].Dims;
        var model = DeepLabV3.Build(
            new()
            {
                Backbone = backbone with { Attention = Attention(golden), AttentionPosition = ResNetAttentionPosition.Inner },
                ClassCount = golden.Config.GetProperty("num_classes").GetInt32(),
                OutputStride = golden.Config.GetProperty("output_stride").GetInt32(),
            },
            golden.Weights, (int)size[2], (int)size[3]);
        var builder = new GraphBuilder(model.Graph);
        builder.Output("y", builder["logits"].Slice(1, 0, long.MaxValue, 3).Slice(2, 0, long.MaxValue, 4).Slice(3, 0, long.MaxValue, 4));
        return model;
    }
}
