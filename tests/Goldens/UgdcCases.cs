using System.Text.Json;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Vision;
using Microsoft.ML.Attention.Vision.Pixels;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Goldens;

/// <summary>UGDC: whole nets, both in a row, the dynamic convolution and a decoder stage on their own, pictures in and out.</summary>
internal sealed class UgdcCases : IGoldenModel
{
    public string Name => "ugdc";

    public OnnxModel Build(GoldenCase golden) => golden.Variant switch
    {
        "UGDC" or "UGDC_Enhance" or "UNet" or "UNet_Enhance" => Net(golden),
        "predict+enhance" => Pipeline(golden),
        "GDC operator" => GlobalDynamicConv(golden),
        "Up_SA" => DecoderStage(golden),
        "preprocess" => Preprocessed(golden),
        "postprocess" => Postprocess(golden),
        var variant => throw new NotSupportedException($"variant '{variant}' of {Name} is not known"),
    };

    public IReadOnlyDictionary<string, Tensor> Prepare(GoldenCase golden) =>
        golden.Variant == "preprocess" ? Preprocess(golden.Tensors["input:image"], golden.Config.GetProperty("size")) : golden.Inputs;

    private static OnnxModel Net(GoldenCase golden)
    {
        var (config, size) = (golden.Config, golden.Inputs["x"].Dims);
        var model = Ugdc.Build(Config(config, size), golden.Weights);
        return Stored(model, golden);
    }

    private static OnnxModel Pipeline(GoldenCase golden)
    {
        var (config, size) = (golden.Config, golden.Inputs["x"].Dims);
        var model = Ugdc.BuildPipeline(
            Config(config.GetProperty("pred"), size), Config(config.GetProperty("enhance"), size), golden.Weights);
        return Stored(model, golden);
    }

    private static OnnxModel GlobalDynamicConv(GoldenCase golden)
    {
        var builder = new GraphBuilder();
        var parameters = new Parameters(builder, Ugdc.WithoutUnused(golden.Weights));
        var x = builder.Input("x", TensorElementType.Float, golden.Inputs["x"].Shape.With(0, "N"));
        var y = Ugdc.GlobalDynamicConv(x, parameters, golden.Config.GetProperty("ps").GetInt32(), dropPathRate: 0);
        builder.Output("y", y);
        builder.Output("mid:a1_conv1", y - x);
        var convolutions = builder.Graph.Nodes.FindAll(node => node.OpType == "Conv").ConvertAll(node => builder[node.Outputs[0]]);
        builder.Output("mid:patch", convolutions[0]);
        builder.Output("mid:k", convolutions[1]);
        builder.Output("mid:q", builder[builder.Graph.Nodes.Find(node => node.OpType == "Gelu")!.Outputs[0]].ToChannelsFirst());
        parameters.ThrowIfUnfit();
        return builder.ToModel();
    }

    private static OnnxModel DecoderStage(GoldenCase golden)
    {
        var builder = new GraphBuilder();
        var parameters = new Parameters(builder, Ugdc.WithoutUnused(golden.Weights));
        var deep = builder.Input("deep", TensorElementType.Float, golden.Inputs["deep"].Shape);
        var skip = builder.Input("skip", TensorElementType.Float, golden.Inputs["skip"].Shape);
        var config = new UgdcConfig { IsBilinear = golden.Config.GetProperty("bilinear").GetBoolean() };
        var channels = golden.Config.GetProperty("out_channels").GetInt64();
        builder.Output("y", Ugdc.Up(deep, skip, parameters["m"], channels, config, isDynamic: true));
        builder.Output("mid:up", builder[builder.Graph.Nodes.Find(node => node.OpType is "ConvTranspose" or "Resize")!.Outputs[0]]);
        builder.Output("mid:sa", builder[builder.Graph.Nodes.Find(node => node.OpType == "GlobalDynamicConvolution")!.Outputs[0]]);
        parameters.ThrowIfUnfit();
        return builder.ToModel();
    }

    // What the transformer's code computed goes through the model unchanged.
    private static OnnxModel Preprocessed(GoldenCase golden)
    {
        var builder = new GraphBuilder();
        builder.Output("mid:resized", builder.Input("resized", TensorElementType.UInt8, golden.Expected["mid:resized"].Shape));
        builder.Output("y", builder.Input("values", TensorElementType.Float, golden.Expected["output:y"].Shape));
        return builder.ToModel();
    }

    private static Dictionary<string, Tensor> Preprocess(Tensor image, JsonElement size)
    {
        var (height, width) = (size[0].GetInt32(), size[1].GetInt32());
        var preprocessing = ImagePreprocessing.Stretch(height, width) with { Filter = ResampleFilter.Bilinear };
        var source = new byte[image.Dims[0] * image.Dims[1] * PixelView.BytesPerPixel];
        for (var i = 0; i < image.Data.Length; i++)
            source[(i / 3 * PixelView.BytesPerPixel) + (i % 3)] = image.Data.Span[i];
        var picture = new PixelView(source, (int)image.Dims[1], (int)image.Dims[0]);
        var (resized, values) = (new byte[height * width * PixelView.BytesPerPixel], new float[preprocessing.ValueCount]);
        preprocessing.Resize(picture, resized);
        preprocessing.Apply(picture, values);
        byte[] levels = [.. resized.Where((_, i) => i % PixelView.BytesPerPixel < 3)];
        return new()
        {
            ["resized"] = Tensor.Create<byte>(levels, height, width, 3),
            ["values"] = Tensor.Create<float>(values, 3, height, width),
        };
    }

    private static OnnxModel Postprocess(GoldenCase golden)
    {
        var builder = new GraphBuilder();
        var coarse = builder.Input("coarse", TensorElementType.Float, golden.Inputs["coarse"].Shape);
        var residual = builder.Input("residual", TensorElementType.Float, golden.Inputs["residual"].Shape);
        builder.Output("image", Ugdc.ToImage(coarse - residual).Squeeze(0));
        builder.Output("mid:rgb_unclamped", Ugdc.ToRgb(coarse - residual).Squeeze(0));
        return builder.ToModel();
    }

    private static UgdcConfig Config(JsonElement config, IReadOnlyList<long> size)
    {
        var name = config.GetProperty("class").GetString()!.ToLowerInvariant();
        var variant = Ugdc.Variants[name] with { Height = (int)size[2], Width = (int)size[3] };
        if (config.TryGetProperty("stem_channels", out var width))
            variant = variant with { StemWidth = width.GetInt32() };
        return variant with { IsBilinear = config.TryGetProperty("bilinear", out var bilinear) && bilinear.GetBoolean() };
    }

    // Of large outputs the case has some rows and columns, equally spaced.
    private static OnnxModel Stored(OnnxModel model, GoldenCase golden)
    {
        var graph = model.Graph;
        var whole = graph.Nodes.FindAll(node => golden.Expected.ContainsKey("output:" + node.Outputs[0]));
        graph.Nodes.RemoveAll(whole.Contains);
        graph.Outputs.RemoveAll(output => whole.Exists(node => node.Outputs[0] == output));
        var builder = new GraphBuilder(graph);
        foreach (var node in whole)
        {
            var (value, kept) = (builder[node.Inputs[0]], golden.Expected["output:" + node.Outputs[0]].Dims[2]);
            var height = value.Shape[2].Value;
            var stride = (height + kept - 1) / kept;
            builder.Output(node.Outputs[0], value.Slice(2, 0, height, stride).Slice(3, 0, value.Shape[3].Value, stride));
        }
        return model;
    }
}
