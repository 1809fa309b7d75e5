using Microsoft.ML.Attention.Onnx.Ops;
using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Tests.Training;

/// <summary>A task for trainings to learn in seconds: pictures of horizontal or vertical stripes, and a net of convolution and attention.</summary>
internal static class StripedPictures
{
    public static OnnxModel ConvolutionAndAttention()
    {
        var builder = new GraphBuilder();
        var x = builder.Input("x", TensorElementType.Float, ["N", 3, 8, 8]);
        var map = x.Conv2d(Weight("stem.weight", 8, 3, 3, 3), Weight("stem.bias", 8), stride: 2, padding: 1);
        map = builder.Op("BatchNormalization",
            [map, Filled("norm.weight", 1), Filled("norm.bias", 0), Filled("norm.running_mean", 0), Filled("norm.running_var", 1)]).Gelu();
        map += map.Conv2d(Weight("position.weight", 8, 1, 3, 3), Weight("position.bias", 8), padding: 1, group: 8);
        map = map.Transpose(0, 2, 3, 1);
        var projected = map.LayerNormalization(Filled("norm1.weight", 1), Filled("norm1.bias", 0), 1e-6f)
            .MatMul(Weight("qkv.weight", 24, 8).Transpose(1, 0)) + Weight("qkv.bias", 24);
        var parts = projected.Split(3, 8, 8, 8);
        map += DropPath.Apply(BiLevelRoutingAttention.Apply(parts[0], parts[1], parts[2], headCount: 2, windowCount: 2, topK: 2), 0.2f);
        var pooled = builder.Op("Dropout", [map.ReduceMean([1, 2]), builder.Initializer("ratio", Tensor.Scalar(0.1f))]);
        builder.Output("logits", pooled.MatMul(Weight("head.weight", 2, 8).Transpose(1, 0)) + Weight("head.bias", 2));
        return builder.ToModel();

        Value Weight(string name, params long[] dims) => builder.Initializer(name, Noisy(name.Length, dims));
        Value Filled(string name, float value) => builder.Initializer(name, Vector([.. Enumerable.Repeat(value, 8)]));
    }

    public static TrainingGraph Classifier(OnnxModel model, long batch, Optimizer optimizer, float smoothing) =>
        TrainingGraph.Build(model, Sizes(batch), CrossEntropy(batch, smoothing), new() { Optimizer = optimizer });

    public static LossFunction CrossEntropy(long batch, float smoothing) => (builder, outputs) =>
    {
        var labels = builder.Input("labels", TensorElementType.Int64, [batch]);
        builder.Output("correct", Losses.CorrectCount(outputs["logits"], labels));
        return Losses.CrossEntropy(outputs["logits"], labels, smoothing);
    };

    public static float[] Train(Trainer trainer, int steps, int from = 0)
    {
        var losses = new float[steps];
        for (var i = 0; i < steps; i++)
        {
            Pictures(from + i).CopyTo(trainer.Input<float>("x"));
            for (var example = 0; example < 8; example++)
                trainer.Input<long>("labels")[example] = example % 2;
            losses[i] = trainer.Step(0.02f);
        }
        return losses;
    }

    // Pictures of class 0 have horizontal stripes, those of class 1 vertical ones.
    public static float[] Pictures(int seed)
    {
        var random = new Random(seed);
        var pictures = new float[8 * 3 * 8 * 8];
        for (var i = 0; i < pictures.Length; i++)
        {
            var (column, row, example) = (i % 8, i / 8 % 8, i / (3 * 8 * 8));
            pictures[i] = ((example % 2 == 0 ? row : column) % 2) + (0.3f * random.NextSingle());
        }
        return pictures;
    }

    public static Dictionary<string, long> Sizes(long batch) => new() { ["N"] = batch };

    public static Tensor Vector(float[] values) => Tensor.Create<float>(values, values.Length);

    public static Tensor Noisy(int seed, params long[] dims) =>
        Tensor.Create<float>(Array.ConvertAll(GradientCheck.Random(seed, [.. dims.Select(dim => (int)dim)]).Data, x => (float)(0.5 * x)),
            dims);
}
