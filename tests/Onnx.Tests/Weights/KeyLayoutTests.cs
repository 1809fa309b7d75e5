using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.Attention.Onnx.Weights.KeyLayouts;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Tests.Weights;

/// <summary>Names of other libraries against the official ones.</summary>
public sealed class KeyLayoutTests : IDisposable
{
    private readonly string _path = Path.GetTempFileName();

    public void Dispose() => File.Delete(_path);

    [Theory]
    [InlineData("pixel_embed.proj.weight", "patch_embed.proj.weight")]
    [InlineData("patch_pos", "outer_pos")]
    [InlineData("pixel_pos", "inner_pos")]
    [InlineData("norm1_proj.weight", "proj_norm1.weight")]
    [InlineData("norm2_proj.bias", "proj_norm2.bias")]
    [InlineData("blocks.11.norm_in.weight", "blocks.11.inner_norm1.weight")]
    [InlineData("blocks.0.attn_in.qk.weight", "blocks.0.inner_attn.qk.weight")]
    [InlineData("blocks.0.norm_mlp_in.weight", "blocks.0.inner_norm2.weight")]
    [InlineData("blocks.0.mlp_in.fc1.weight", "blocks.0.inner_mlp.fc1.weight")]
    [InlineData("blocks.0.norm1_proj.weight", "blocks.0.proj_norm1.weight")]
    [InlineData("blocks.0.norm2_proj.weight", "blocks.0.proj_norm2.weight")]
    [InlineData("blocks.0.norm_out.weight", "blocks.0.outer_norm1.weight")]
    [InlineData("blocks.0.attn_out.proj.bias", "blocks.0.outer_attn.proj.bias")]
    [InlineData("blocks.0.norm_mlp.weight", "blocks.0.outer_norm2.weight")]
    [InlineData("blocks.0.mlp.fc2.bias", "blocks.0.outer_mlp.fc2.bias")]
    [InlineData("cls_token", "cls_token")]
    [InlineData("proj.weight", "proj.weight")]
    [InlineData("blocks.0.proj.weight", "blocks.0.proj.weight")]
    [InlineData("head.weight", "head.weight")]
    public void Timm_TNT(string name, string official) => Assert.Equal(official, TntLayouts.Timm.Official(name));

    [Theory]
    [InlineData("resnet.embedder.embedder.convolution.weight", "conv1.weight")]
    [InlineData("resnet.embedder.embedder.normalization.running_var", "bn1.running_var")]
    [InlineData("resnet.encoder.stages.0.layers.0.shortcut.convolution.weight", "layer1.0.downsample.0.weight")]
    [InlineData("resnet.encoder.stages.3.layers.0.shortcut.normalization.bias", "layer4.0.downsample.1.bias")]
    [InlineData("resnet.encoder.stages.2.layers.22.layer.0.convolution.weight", "layer3.22.conv1.weight")]
    [InlineData("resnet.encoder.stages.2.layers.5.layer.2.normalization.weight", "layer3.5.bn3.weight")]
    [InlineData("classifier.1.weight", "fc.weight")]
    public void Hugging_Face_ResNet(string name, string official) => Assert.Equal(official, ResNetLayouts.HuggingFace.Official(name));

    [Theory]
    [InlineData("features.0.0.weight", "features.0.0.weight")]
    [InlineData("features.0.1.bias", "features.0.1.bias")]
    [InlineData("features.1.conv.0.0.weight", "features.1.conv.0.weight")]
    [InlineData("features.1.conv.0.1.weight", "features.1.conv.1.weight")]
    [InlineData("features.1.conv.1.weight", "features.1.conv.3.weight")]
    [InlineData("features.1.conv.2.running_mean", "features.1.conv.4.running_mean")]
    [InlineData("features.17.conv.0.0.weight", "features.17.conv.0.weight")]
    [InlineData("features.17.conv.0.1.weight", "features.17.conv.1.weight")]
    [InlineData("features.2.conv.1.0.weight", "features.2.conv.3.weight")]
    [InlineData("features.2.conv.1.1.weight", "features.2.conv.4.weight")]
    [InlineData("features.2.conv.2.weight", "features.2.conv.6.weight")]
    [InlineData("features.2.conv.3.weight", "features.2.conv.7.weight")]
    [InlineData("features.18.0.weight", "conv.0.weight")]
    [InlineData("features.18.1.weight", "conv.1.weight")]
    [InlineData("classifier.1.weight", "classifier.1.weight")]
    public void Torchvision_MobileNetV2(string name, string official) =>
        Assert.Equal(official, MobileNetV2Layouts.Torchvision.Official(name));

    [Theory]
    [InlineData("conv_stem.weight", "features.0.0.weight")]
    [InlineData("bn1.weight", "features.0.1.weight")]
    [InlineData("blocks.0.0.conv_dw.weight", "features.1.conv.0.weight")]
    [InlineData("blocks.0.0.bn1.weight", "features.1.conv.1.weight")]
    [InlineData("blocks.0.0.conv_pw.weight", "features.1.conv.3.weight")]
    [InlineData("blocks.0.0.bn2.weight", "features.1.conv.4.weight")]
    [InlineData("blocks.1.0.conv_pw.weight", "features.2.conv.0.weight")]
    [InlineData("blocks.3.3.bn1.weight", "features.10.conv.1.weight")]
    [InlineData("blocks.4.0.conv_dw.weight", "features.11.conv.3.weight")]
    [InlineData("blocks.5.2.bn2.weight", "features.16.conv.4.weight")]
    [InlineData("blocks.6.0.conv_pwl.weight", "features.17.conv.6.weight")]
    [InlineData("blocks.6.0.bn3.weight", "features.17.conv.7.weight")]
    [InlineData("conv_head.weight", "conv.0.weight")]
    [InlineData("bn2.weight", "conv.1.weight")]
    [InlineData("classifier.bias", "classifier.1.bias")]
    public void Timm_MobileNetV2(string name, string official) => Assert.Equal(official, MobileNetV2Layouts.Timm.Official(name));

    [Theory]
    [InlineData("mobilenet_v2.conv_stem.first_conv.convolution.weight", "features.0.0.weight")]
    [InlineData("mobilenet_v2.conv_stem.conv_3x3.normalization.weight", "features.1.conv.1.weight")]
    [InlineData("mobilenet_v2.conv_stem.reduce_1x1.convolution.weight", "features.1.conv.3.weight")]
    [InlineData("mobilenet_v2.layer.0.expand_1x1.convolution.weight", "features.2.conv.0.weight")]
    [InlineData("mobilenet_v2.layer.1.conv_3x3.normalization.bias", "features.3.conv.4.bias")]
    [InlineData("mobilenet_v2.layer.15.reduce_1x1.normalization.weight", "features.17.conv.7.weight")]
    [InlineData("mobilenet_v2.conv_1x1.convolution.weight", "conv.0.weight")]
    [InlineData("classifier.weight", "classifier.1.weight")]
    public void Hugging_Face_MobileNetV2(string name, string official) =>
        Assert.Equal(official, MobileNetV2Layouts.HuggingFace.Official(name));

    [Fact]
    public void The_layout_is_told_by_the_names_and_reported()
    {
        var position = Tensor.Create<Half>([.. Enumerable.Range(0, 8).Select(value => (Half)value)], 1, 2, 2, 2);
        var checkpoint = Load(("pixel_pos", position), ("blocks.0.norm2_proj.weight", Tensor.Scalar(1f)));
        Assert.Equal(["names of timm's TNT mapped to the official ones"], checkpoint.Notes);
        Assert.Equal(["blocks.0.proj_norm2.weight", "inner_pos"], checkpoint.Names.Order());
        var words = checkpoint.Find("inner_pos", [1, 4, 2], Initialization.Zeros)!;
        Assert.Equal([1, 4, 2], words.Dims);
        Assert.Equal([0, 4, 1, 5, 2, 6, 3, 7], words.AsSpan<float>().ToArray());
    }

    [Fact]
    public void The_mapping_applies_below_the_prefix_of_a_wrapper() => Assert.Equal(
        ["prefix '_orig_mod.' taken off all names", "prefix 'module.' taken off all names",
            "names of torchvision's MobileNetV2 mapped to the official ones"],
        Load(("_orig_mod.module.features.1.conv.0.0.weight", Tensor.Scalar(1f))).Notes);

    [Fact]
    public void What_the_mapping_cannot_make_equal_is_reported()
    {
        var checkpoint = Load(
            ("mobilenet_v2.conv_stem.first_conv.convolution.weight", Tensor.Scalar(1f)),
            ("mobilenet_v2.conv_stem.first_conv.normalization.running_var", Tensor.Create<float>([0.5f], 1)));
        Assert.Contains(checkpoint.Notes, note => note.Contains("TensorFlow"));
        Assert.Equal(0.50099f, checkpoint.Find("features.0.1.running_var", [1], Initialization.Zeros)!.AsSpan<float>()[0], 1e-6f);
    }

    [Fact]
    public void Weights_of_another_function_are_refused()
    {
        var message = Assert.Throws<InvalidDataException>(() => Load(("blocks.0.norm_in.weight", Tensor.Scalar(1f)))).Message;
        Assert.Contains("timm's legacy TNT", message);
        Assert.Contains("tnt_s_patch16_224", message);
    }

    [Fact]
    public void Two_tensors_for_one_parameter_are_refused() => Assert.Contains("two tensors for 'conv1.weight'",
        Assert.Throws<InvalidDataException>(() => Load(
            ("resnet.embedder.embedder.convolution.weight", Tensor.Scalar(1f)), ("conv1.weight", Tensor.Scalar(1f)))).Message);

    [Theory]
    [InlineData("layer1.0.conv1.weight")]
    [InlineData("blocks.0.inner_norm1.weight")]
    [InlineData("features.1.conv.0.weight")]
    [InlineData("stages.0.0.attn.qkv.qkv.weight")]
    public void Official_names_stay(string name) => Assert.Empty(Load((name, Tensor.Scalar(1f))).Notes);

    private Checkpoint Load(params (string Name, Tensor Tensor)[] tensors)
    {
        SafetensorsFile.Write(_path, tensors.Select(pair => new KeyValuePair<string, Tensor>(pair.Name, pair.Tensor)));
        return Checkpoint.Load(_path);
    }
}
