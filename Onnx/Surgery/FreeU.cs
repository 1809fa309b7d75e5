using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Surgery;

/// <summary>
/// FreeU: in the first two up blocks of a UNet the backbone counts more and the lowest frequencies of the skip connections less, which
/// gives cleaner images without training.
/// <para>Source: Si et al., "FreeU: Free Lunch in Diffusion U-Net", CVPR 2024 (arXiv 2309.11497), in the form of diffusers 0.25.</para>
/// </summary>
public static class FreeU
{
    private const string Scope = "freeu";

    /// <summary>
    /// Adds FreeU to an exported UNet; the defaults are those of StoryDiffusion's app. The given model stays as it is; the weights are
    /// shared, not copied.
    /// </summary>
    /// <param name="unet">A UNet as optimum, diffusers' own scripts or this library write it; consistent or not.</param>
    /// <param name="s1">What the lowest frequencies of the skip connections are multiplied by in the first up block.</param>
    /// <param name="s2">The same in the second.</param>
    /// <param name="b1">What the first half of the backbone's channels is multiplied by in the first up block.</param>
    /// <param name="b2">The same in the second.</param>
    /// <exception cref="InvalidDataException">The graph has no skip connections on the way up, or FreeU already.</exception>
    public static OnnxModel Rewrite(OnnxModel unet, float s1 = 0.6f, float s2 = 0.4f, float b1 = 1.1f, float b2 = 1.2f)
    {
        ArgumentNullException.ThrowIfNull(unet);
        var model = unet.CloneInlined();
        var graph = model.Graph;
        if (graph.Nodes.Exists(node => node.Name.StartsWith(Scope, StringComparison.Ordinal)))
            throw new InvalidDataException($"Graph '{graph.Name}' has FreeU already.");
        var index = new GraphIndex(model);
        var joints = new UpPath(index).Joints;
        if (joints.Count == 0)
        {
            throw new InvalidDataException($"Graph '{graph.Name}' has no skip connections on the way up. Expected Concats over the "
                + "channels that a convolution of size 1 x 1 reads, found none.");
        }
        var builder = new GraphBuilder(graph);
        foreach (var (block, s, b) in new[] { (0, s1, b1), (1, s2, b2) })
        {
            Value? waves = null;
            foreach (var (joint, _) in joints.Where(joint => joint.Block == block))
            {
                using var scope = builder.Scope(Scope);
                builder.Before(joint, () =>
                {
                    var (hidden, skip) = (builder[joint.Inputs[0]], builder[joint.Inputs[1]]);
                    if (hidden.Info.Shape is not { Rank: 4 } shape || !shape[1].IsKnown)
                    {
                        throw new InvalidDataException($"The backbone '{hidden.Name}' of '{joint.Name}' is expected to be [B, C, H, W] "
                            + $"with a known C, but what is known of it is {hidden.Info.Shape?.ToString() ?? "nothing"}.");
                    }
                    waves ??= Waves(skip);
                    (joint.Inputs[0], joint.Inputs[1]) = (Strengthen(hidden, b).Name, Weaken(skip, waves, s).Name);
                });
            }
        }
        return model;
    }

    /// <summary>The first half of the channels, rounded down, times <paramref name="b"/>.</summary>
    internal static Value Strengthen(Value hidden, float b)
    {
        var factors = new float[hidden.Shape[1].Value];
        factors.AsSpan(0, factors.Length / 2).Fill(b);
        factors.AsSpan(factors.Length / 2).Fill(1);
        return hidden * Like(hidden.Builder.Constant(Tensor.Create<float>(factors, 1, factors.Length, 1, 1)), hidden);
    }

    /// <summary>The part of the lowest frequencies times <paramref name="s"/>.</summary>
    /// <param name="skip">[B, C, H, W]</param>
    /// <param name="waves">What <see cref="Waves"/> makes for maps of this size.</param>
    /// <param name="s">The factor.</param>
    internal static Value Weaken(Value skip, Value waves, float s)
    {
        var lowest = (skip.Reshape(0, 0, -1).MatMul(waves.Transpose(1, 0)) * (s - 1)).MatMul(waves);
        return skip + lowest.Reshape(skip.ShapeOf());
    }

    /// <summary>
    /// An orthogonal basis of the lowest frequencies, as cosines and sines: the product with it and with its transpose is what remains of a
    /// map when all of its discrete Fourier transform but the frequencies -1 and 0 of both axes is set to zero, and the imaginary part
    /// is dropped.
    /// </summary>
    /// <param name="map">[B, C, H, W], at least 2 x 2.</param>
    /// <returns>[8, H * W], of the map's type.</returns>
    internal static Value Waves(Value map)
    {
        var builder = map.Builder;
        var (height, width) = (Size(map, 2), Size(map, 3));
        // Of the four frequencies (0, 0), (-1, 0), (0, -1) and (-1, -1) the steps down and to the right.
        var down = builder.Constant(Tensor.Create<float>([0, 1, 0, 1], 4, 1, 1));
        var right = builder.Constant(Tensor.Create<float>([0, 0, 1, 1], 4, 1, 1));
        var phases = (down * Angles(height).Unsqueeze(1)) + (right * Angles(width).Unsqueeze(0));
        var waves = builder.Concat(0, phases.Apply("Cos"), phases.Apply("Sin")) / (height * width).Apply("Sqrt");
        return Like(waves.Reshape(8, -1), map);
    }

    // The angles of one turn in as many steps.
    private static Value Angles(Value size)
    {
        var builder = size.Builder;
        return builder.Op("Range", [builder.Scalar(0, size), size, builder.Scalar(1, size)]) * (2 * Math.PI / size);
    }

    private static Value Size(Value map, long axis) =>
        map.ShapeOf().Gather(map.Builder.Constant(Tensor.Scalar(axis))).Cast(TensorElementType.Float);

    private static Value Like(Value value, Value other) => other.Type == value.Type ? value : value.Cast(other.Type);
}
