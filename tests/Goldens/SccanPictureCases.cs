using Microsoft.ML.Attention.Vision;
using Microsoft.ML.Attention.Vision.Pixels;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Goldens;

/// <summary>
/// SCCAN's cases of pictures: what the transformer's code makes before and after the model. Its results go through a model of identities.
/// </summary>
internal static class SccanPictureCases
{
    private const int EdgeLength = 16;

    public static bool Knows(GoldenCase golden) => golden.Variant is "test preprocessing" or "evaluation of one episode (ori_resize)";

    public static OnnxModel Build(GoldenCase golden)
    {
        var builder = new GraphBuilder();
        foreach (var (name, tensor) in Prepare(golden))
            builder.Output(name["value_".Length..], builder.Input(name, tensor.Type, tensor.Shape));
        return builder.ToModel();
    }

    public static IReadOnlyDictionary<string, Tensor> Prepare(GoldenCase golden) =>
        golden.Variant == "test preprocessing" ? Preprocess(golden) : Evaluate(golden);

    private static Dictionary<string, Tensor> Preprocess(GoldenCase golden)
    {
        var (image, label) = (golden.Tensors["input:image"], golden.Tensors["input:label"]);
        var (height, width) = ((int)image.Dims[0], (int)image.Dims[1]);
        var source = new byte[height * width * PixelView.BytesPerPixel];
        for (var i = 0; i < image.Data.Length; i++)
            source[(i / 3 * PixelView.BytesPerPixel) + (i % 3)] = image.Data.Span[i];
        var preprocessing = new SegmentationPreprocessing(golden.Config.GetProperty("size").GetInt32());
        var size = preprocessing.Size;
        var (values, labels) = (new float[preprocessing.ValueCount], new byte[size * size]);
        preprocessing.Write(new PixelView(source, width, height), values);
        preprocessing.Write(new LabelMap(label.Data.ToArray(), width, height), labels);
        // Of the whole the case has every so many rows and columns, and 16 columns or rows at the edge.
        var stride = (size + (int)golden.Expected["output:y"].Dims[0] - 1) / (int)golden.Expected["output:y"].Dims[0];
        var (all, edge) = (Every(0, stride), Every(size - EdgeLength, 1));
        var (rows, columns) = height > width ? (all, edge) : (edge, all);
        return new()
        {
            ["value_x"] = Tensor.Create<float>(Pick(values, 3, all, all), 3, all.Length, all.Length),
            ["value_x_edge"] = Tensor.Create<float>(Pick(values, 3, rows, columns), 3, rows.Length, columns.Length),
            ["value_y"] = Labels(all, all),
            ["value_y_edge"] = Labels(rows, columns),
        };

        int[] Every(int first, int step) => [.. Enumerable.Range(0, size).Where(i => i >= first && (i - first) % step == 0)];

        Tensor Labels(int[] rows, int[] columns) => Tensor.Create<long>(
            [.. Pick(labels, 1, rows, columns).Select(value => (long)value)], rows.Length, columns.Length);

        T[] Pick<T>(T[] whole, int planes, int[] rows, int[] columns) =>
        [
            .. Enumerable.Range(0, planes).SelectMany(plane => rows.SelectMany(
                y => columns.Select(x => whole[(plane * size * size) + (y * size) + x]))),
        ];
    }

    private static Dictionary<string, Tensor> Evaluate(GoldenCase golden)
    {
        var config = golden.Config;
        var (size, height, width) = (config.GetProperty("S").GetInt32(), config.GetProperty("H").GetInt32(), config.GetProperty("W").GetInt32());
        var logits = golden.Inputs["logits"].AsSpan<float>();
        var side = Math.Max(height, width);
        var (whole, picture) = (new byte[side * side], new byte[width * height]);
        LogitMaps.Label(logits, size, side, side, whole);
        LogitMaps.Label(logits, size, width, height, picture);
        var truth = golden.Tensors["input:ori_label"].Data.Span;
        var (foreground, background) = FewShotEvaluator.Count(picture, truth);
        var area = new[] { truth.Count((byte)0), truth.Count((byte)1) };
        return new()
        {
            ["value_pred"] = Tensor.Create<byte>(whole, 1, side, side),
            ["value_intersection"] = Tensor.Create<float>([background.Intersection, foreground.Intersection], 2),
            ["value_union"] = Tensor.Create<float>([background.Union, foreground.Union], 2),
            ["value_target_area"] = Tensor.Create<float>([area[0], area[1]], 2),
        };
    }
}
