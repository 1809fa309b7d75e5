namespace Microsoft.ML.Attention.Onnx.Weights.KeyLayouts;

/// <summary>
/// The plain MobileNetV2 of other libraries. The official names here are those of ELA's authors: <c>features.I.conv.0</c> to <c>.7</c>
/// for a block's convolutions and normalisations with the activations between them, <c>conv.0</c> and <c>.1</c> for the last one.
/// </summary>
internal static class MobileNetV2Layouts
{
    // Blocks a stage; the first stage's only block does not expand.
    private static readonly int[] Depths = [1, 2, 3, 4, 3, 3, 1];

    /// <summary>torchvision, <c>mobilenet_v2</c>.</summary>
    public static KeyLayout Torchvision { get; } = new("torchvision's MobileNetV2", @"^features\.1\.conv\.0\.0\.",
    [
        (@"^features\.18\.", "conv."),
        (@"^features\.1\.conv\.0\.", "features.1.conv."),
        (@"^features\.1\.conv\.1\.", "features.1.conv.3."),
        (@"^features\.1\.conv\.2\.", "features.1.conv.4."),
        (@"^features\.(\d+)\.conv\.0\.0\.", "features.$1.conv.0."),
        (@"^features\.(\d+)\.conv\.0\.1\.", "features.$1.conv.1."),
        (@"^features\.(\d+)\.conv\.1\.0\.", "features.$1.conv.3."),
        (@"^features\.(\d+)\.conv\.1\.1\.", "features.$1.conv.4."),
        (@"^features\.(\d+)\.conv\.2\.", "features.$1.conv.6."),
        (@"^features\.(\d+)\.conv\.3\.", "features.$1.conv.7."),
    ]);

    /// <summary>timm, <c>mobilenetv2_100</c> and its other widths.</summary>
    public static KeyLayout Timm { get; } = new("timm's MobileNetV2", @"^blocks\.6\.0\.conv_pwl\.", [.. TimmRenames()]);

    /// <summary>Hugging Face transformers, <c>MobileNetV2ForImageClassification</c>, such as google/mobilenet_v2_1.0_224.</summary>
    public static KeyLayout HuggingFace { get; } = new(
        "Hugging Face's MobileNetV2", @"^mobilenet_v2\.conv_stem\.first_conv\.", [.. HuggingFaceRenames()])
    {
        Convert = (name, tensor) => name.EndsWith(".running_var", StringComparison.Ordinal) ? WithEpsilon(tensor) : tensor,
        Caveat = "Hugging Face's MobileNetV2 pads strided convolutions at the bottom and right only, as TensorFlow does, and this model "
            + "at all sides: its accuracy is below the published one until it is fine-tuned",
    };

    private static IEnumerable<(string, string)> TimmRenames()
    {
        yield return (@"^conv_stem\.", "features.0.0.");
        yield return (@"^bn1\.", "features.0.1.");
        yield return (@"^conv_head\.", "conv.0.");
        yield return (@"^bn2\.", "conv.1.");
        yield return (@"^classifier\.", "classifier.1.");
        var number = 1;
        for (var stage = 0; stage < Depths.Length; stage++)
        {
            for (var block = 0; block < Depths[stage]; block++, number++)
            {
                string[] modules = stage == 0
                    ? ["conv_dw", "bn1", "", "conv_pw", "bn2"]
                    : ["conv_pw", "bn1", "", "conv_dw", "bn2", "", "conv_pwl", "bn3"];
                for (var i = 0; i < modules.Length; i++)
                {
                    if (modules[i].Length > 0)
                        yield return ($@"^blocks\.{stage}\.{block}\.{modules[i]}\.", $"features.{number}.conv.{i}.");
                }
            }
        }
    }

    private static IEnumerable<(string, string)> HuggingFaceRenames()
    {
        foreach (var (part, index) in new[] { ("convolution", 0), ("normalization", 1) })
        {
            yield return ($@"^mobilenet_v2\.conv_stem\.first_conv\.{part}\.", $"features.0.{index}.");
            yield return ($@"^mobilenet_v2\.conv_stem\.conv_3x3\.{part}\.", $"features.1.conv.{index}.");
            yield return ($@"^mobilenet_v2\.conv_stem\.reduce_1x1\.{part}\.", $"features.1.conv.{3 + index}.");
            yield return ($@"^mobilenet_v2\.conv_1x1\.{part}\.", $"conv.{index}.");
            for (var layer = 0; layer < Depths.Sum() - 1; layer++)
            {
                yield return ($@"^mobilenet_v2\.layer\.{layer}\.expand_1x1\.{part}\.", $"features.{layer + 2}.conv.{index}.");
                yield return ($@"^mobilenet_v2\.layer\.{layer}\.conv_3x3\.{part}\.", $"features.{layer + 2}.conv.{3 + index}.");
                yield return ($@"^mobilenet_v2\.layer\.{layer}\.reduce_1x1\.{part}\.", $"features.{layer + 2}.conv.{6 + index}.");
            }
        }
        yield return (@"^classifier\.", "classifier.1.");
    }

    // Hugging Face adds 0.001 to variances, this model 0.00001; the difference can be added to the variance itself.
    private static Tensor WithEpsilon(Tensor variance) => Tensor.Create<float>(
        Array.ConvertAll(variance.AsSpan<float>().ToArray(), value => value + (1e-3f - 1e-5f)), [.. variance.Dims]);
}
