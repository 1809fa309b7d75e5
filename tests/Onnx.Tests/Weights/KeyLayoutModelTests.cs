using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.Attention.Onnx.Weights.KeyLayouts;

namespace Microsoft.ML.Attention.Onnx.Tests.Weights;

/// <summary>Checkpoints with all the names that another library gives to a model, built into the model here.</summary>
public sealed class KeyLayoutModelTests : IDisposable
{
    private static readonly string[] Norm = ["weight", "bias", "running_mean", "running_var"];

    private readonly string _path = Path.GetTempFileName();

    public void Dispose() => File.Delete(_path);

    [Theory]
    [InlineData("resnet18", 2, true)]
    [InlineData("resnet50", 3, false)]
    public void Hugging_Face_ResNet(string name, int convolutions, bool isBasic)
    {
        int[] depths = [1, 2, 1, 1];
        var config = ResNet.Variants[name] with { ClassCount = 3, Depths = depths };
        Check(config, 32, ResNetLayouts.HuggingFace, Names());

        IEnumerable<string> Names()
        {
            foreach (var parameter in ConvNorm("resnet.embedder.embedder"))
                yield return parameter;
            for (var stage = 0; stage < depths.Length; stage++)
            {
                for (var block = 0; block < depths[stage]; block++)
                {
                    var prefix = $"resnet.encoder.stages.{stage}.layers.{block}";
                    string[] modules = [.. Enumerable.Range(0, convolutions).Select(i => $"{prefix}.layer.{i}")];
                    // The first stage of basic blocks keeps both size and width.
                    if (block == 0 && !(isBasic && stage == 0))
                        modules = [.. modules, $"{prefix}.shortcut"];
                    foreach (var parameter in modules.SelectMany(ConvNorm))
                        yield return parameter;
                }
            }
            yield return "classifier.1.weight";
            yield return "classifier.1.bias";
        }
    }

    [Fact]
    public void Torchvision_MobileNetV2()
    {
        Check(MobileNetV2.Variants["mobilenetv2"] with { ClassCount = 3 }, 32, MobileNetV2Layouts.Torchvision, [
            .. Sequence("features.0", ".0", ".1"),
            .. Sequence("features.1.conv", ".0.0", ".0.1"), .. Sequence("features.1.conv", ".1", ".2"),
            .. Enumerable.Range(2, 16).SelectMany(block => (string[])[
                .. Sequence($"features.{block}.conv", ".0.0", ".0.1"),
                .. Sequence($"features.{block}.conv", ".1.0", ".1.1"),
                .. Sequence($"features.{block}.conv", ".2", ".3"),
            ]),
            .. Sequence("features.18", ".0", ".1"),
            "classifier.1.weight", "classifier.1.bias",
        ]);
    }

    [Fact]
    public void Timm_MobileNetV2()
    {
        int[] depths = [1, 2, 3, 4, 3, 3, 1];
        Check(MobileNetV2.Variants["mobilenetv2"] with { ClassCount = 3 }, 32, MobileNetV2Layouts.Timm, [
            .. Sequence("", "conv_stem", "bn1"),
            .. Sequence("blocks.0.0", ".conv_dw", ".bn1"), .. Sequence("blocks.0.0", ".conv_pw", ".bn2"),
            .. Enumerable.Range(1, 6).SelectMany(stage => Enumerable.Range(0, depths[stage]).SelectMany(block => (string[])[
                .. Sequence($"blocks.{stage}.{block}", ".conv_pw", ".bn1"),
                .. Sequence($"blocks.{stage}.{block}", ".conv_dw", ".bn2"),
                .. Sequence($"blocks.{stage}.{block}", ".conv_pwl", ".bn3"),
            ])),
            .. Sequence("", "conv_head", "bn2"),
            "classifier.weight", "classifier.bias",
        ]);
    }

    [Fact]
    public void Hugging_Face_MobileNetV2()
    {
        string[] stem = ["first_conv", "conv_3x3", "reduce_1x1"];
        string[] layer = ["expand_1x1", "conv_3x3", "reduce_1x1"];
        Check(MobileNetV2.Variants["mobilenetv2"] with { ClassCount = 3 }, 32, MobileNetV2Layouts.HuggingFace, [
            .. stem.SelectMany(module => ConvNorm($"mobilenet_v2.conv_stem.{module}")),
            .. Enumerable.Range(0, 16).SelectMany(i => layer.SelectMany(module => ConvNorm($"mobilenet_v2.layer.{i}.{module}"))),
            .. ConvNorm("mobilenet_v2.conv_1x1"),
            "classifier.weight", "classifier.bias",
        ]);
    }

    [Fact]
    public void Timm_TNT()
    {
        string[] block = [
            "norm_in.weight", "norm_in.bias", "attn_in.qk.weight", "attn_in.v.weight", "attn_in.proj.weight", "attn_in.proj.bias",
            "norm_mlp_in.weight", "norm_mlp_in.bias", "mlp_in.fc1.weight", "mlp_in.fc1.bias", "mlp_in.fc2.weight", "mlp_in.fc2.bias",
            "norm1_proj.weight", "norm1_proj.bias", "proj.weight", "norm2_proj.weight", "norm2_proj.bias",
            "norm_out.weight", "norm_out.bias", "attn_out.qk.weight", "attn_out.v.weight", "attn_out.proj.weight", "attn_out.proj.bias",
            "norm_mlp.weight", "norm_mlp.bias", "mlp.fc1.weight", "mlp.fc1.bias", "mlp.fc2.weight", "mlp.fc2.bias",
        ];
        var config = Tnt.Variants["tnt_s_patch16_224"] with { ClassCount = 3, Depth = 2 };
        Check(config, 224, TntLayouts.Timm, [
            "cls_token", "patch_pos", "pixel_pos", "pixel_embed.proj.weight", "pixel_embed.proj.bias",
            "norm1_proj.weight", "norm1_proj.bias", "proj.weight", "proj.bias", "norm2_proj.weight", "norm2_proj.bias",
            .. Enumerable.Range(0, 2).SelectMany(number => block.Select(parameter => $"blocks.{number}.{parameter}")),
            "norm.weight", "norm.bias", "head.weight", "head.bias",
        ]);
    }

    private static IEnumerable<string> ConvNorm(string module) => Sequence(module, ".convolution", ".normalization");

    private static IEnumerable<string> Sequence(string module, string convolution, string norm) =>
        [$"{module}{convolution}.weight", .. Norm.Select(parameter => $"{module}{norm}.{parameter}")];

    // Random weights under the library's names have to come back under the official ones, all of them and no other.
    private void Check(ImageClassifierConfig config, int size, KeyLayout layout, IEnumerable<string> names)
    {
        var official = config.Build(new RandomWeights(3), size, size).Graph.Initializers;
        SafetensorsFile.Write(_path, names.Select(name => KeyValuePair.Create(name, InLibrary(name, official[layout.Official(name)]))));

        var checkpoint = Checkpoint.Load(_path);
        Assert.Contains($"names of {layout.Name} mapped to the official ones", checkpoint.Notes);
        var built = config.Build(checkpoint, size, size).Graph.Initializers;
        foreach (var name in checkpoint.Names)
        {
            var (expected, actual) = (official[name].AsSpan<float>().ToArray(), built[name].AsSpan<float>().ToArray());
            // Hugging Face's variances take up the difference of the epsilons.
            var tolerance = name.EndsWith("running_var", StringComparison.Ordinal) ? 1e-3f : 0;
            Assert.True(expected.Zip(actual).All(pair => Math.Abs(pair.First - pair.Second) <= tolerance), name);
        }
    }

    // timm has the words' positions as a map [1, C, h, w].
    private static Tensor InLibrary(string name, Tensor tensor) =>
        name == "pixel_pos" ? tensor.Transpose(0, 2, 1).Reshape(1, tensor.Dims[2], 4, 4) : tensor;
}
