using System.Globalization;
using ClinicalTimeSeries;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Data;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Goldens;

/// <summary>TSCAN's cases of what is around the network: bins, metrics, and the way from records to predictions.</summary>
internal static class TscanTableCases
{
    private const string Records = "physionet 2012";

    public static bool Knows(GoldenCase golden) => golden.Variant is "mimic discretiser" or "metrics" or Records;

    /// <summary>The network of the case of records.</summary>
    public static OnnxModel Build(GoldenCase golden)
    {
        var builder = new GraphBuilder();
        var table = Prepare(golden)["x"];
        Predict(builder, golden, builder.Input("x", table.Type, table.Shape));
        return builder.ToModel();
    }

    /// <summary>The records as the network reads them.</summary>
    public static IReadOnlyDictionary<string, Tensor> Prepare(GoldenCase golden) =>
        ReadRecords(golden).Where(tensor => tensor.Key == "x").ToDictionary();

    public static IEnumerable<IReadOnlyDictionary<string, Tensor>> Run(
        IGoldenModel family, GoldenCase golden, IReadOnlyList<RunMode> modes)
    {
        var computed = golden.Variant switch
        {
            "metrics" => Measure(golden),
            Records => ReadRecords(golden),
            _ => Discretise(golden),
        };
        return golden.Variant == Records
            ? CaseRunner.RunModel(family, golden, modes).Select(outputs => outputs.Concat(computed).ToDictionary())
            : modes.Select(_ => computed);
    }

    private static Dictionary<string, Tensor> Discretise(GoldenCase golden)
    {
        var config = golden.Config;
        var (width, end) = (config.GetProperty("timestep").GetSingle(), config.GetProperty("end").GetSingle());
        var preprocessing = new SeriesPreprocessing
        {
            BinCount = (int)(end / width),
            BinWidth = width,
            Limit = null,
            Imputation = config.GetProperty("impute_strategy").GetString() switch
            {
                "previous" => SeriesImputation.Previous,
                "next" => SeriesImputation.Next,
                "normal_value" => SeriesImputation.NormalValue,
                "zero" => SeriesImputation.Zero,
                var other => throw new NotSupportedException($"imputation '{other}' is not known"),
            },
        };
        var rows = golden.Description.GetProperty("rows").EnumerateArray()
            .Select(row => row.EnumerateArray().Select(cell => cell.GetString()!).ToArray()).ToArray();
        var series = new SeriesValues(
            [.. rows.Select(row => float.Parse(row[0], CultureInfo.InvariantCulture))], [.. rows.SelectMany(MimicVariables.Values)]);
        var plain = new SeriesEncoder(preprocessing, MimicVariables.All);
        var (means, deviations) = (Floats("input:means"), Floats("input:stds"));
        return new()
        {
            ["X"] = Encode(plain, series),
            ["X_normalised"] = Encode(new(preprocessing, MimicVariables.All, means, deviations), series),
        };

        float[] Floats(string name) =>
            [.. golden.Tensors[name].AsSpan<double>()[..plain.ValueColumnCount].ToArray().Select(value => (float)value)];
    }

    private static Dictionary<string, Tensor> Measure(GoldenCase golden)
    {
        var (scores, truth) = (Doubles("input:binary_score"), golden.Tensors["input:binary_true"].AsSpan<long>().ToArray());
        var metrics = new RankedScores(scores, Array.ConvertAll(truth, label => label == 1)).Measure();
        var labels = MultiLabelMetrics.Of(
            [.. Doubles("input:multilabel_score").Chunk(25)],
            [.. golden.Tensors["input:multilabel_true"].AsSpan<byte>().ToArray().Select(label => label == 1).Chunk(25)]);
        var (predicted, actual) = (Doubles("input:los_predicted_hours"), Doubles("input:los_hours"));
        float[] edges = [24, 48, 72, 96, 120, 144, 168, 192, 336];
        var stays = BucketMetrics.Of(predicted, actual, [.. edges.Select(edge => (double)edge)]);
        // These two are ML.NET's own.
        var context = new MLContext(1);
        var answers = context.Data.LoadFromEnumerable(scores.Zip(truth, (score, label) => new Answer(score > 0.5, (float)(score - 0.5), label == 1)));
        var accuracy = context.BinaryClassification.EvaluateNonCalibrated(answers).Accuracy;
        var amounts = context.Data.LoadFromEnumerable(predicted.Zip(actual, (p, a) => new Amount((float)p, (float)a)));
        var squares = context.Regression.Evaluate(amounts).MeanSquaredError;
        return new()
        {
            ["auroc"] = Numbers(metrics.AreaUnderRocCurve),
            ["auprc_trapezoid"] = Numbers(metrics.AreaUnderPrecisionRecallCurve),
            ["average_precision"] = Numbers(metrics.AveragePrecision),
            ["min_pse"] = Numbers(metrics.MinPrecisionSensitivity),
            ["accuracy"] = Numbers(accuracy),
            ["auc_per_label"] = Numbers([.. labels.Labels.Select(label => label.AreaUnderRocCurve)]),
            ["macro_auc"] = Numbers(labels.MacroAreaUnderRocCurve),
            ["micro_auc"] = Numbers(labels.MicroAreaUnderRocCurve),
            ["weighted_auc"] = Numbers(labels.WeightedAreaUnderRocCurve),
            ["los_true_bins"] = Buckets(actual),
            ["los_predicted_bins"] = Buckets(predicted),
            ["kappa_linear"] = Numbers(stays.LinearKappa),
            ["mad"] = Numbers(stays.MeanAbsoluteDeviation),
            ["mse"] = Numbers(squares),
            ["mape"] = Numbers(stays.MeanAbsolutePercentageError),
        };

        double[] Doubles(string name) => golden.Tensors[name].AsSpan<double>().ToArray();

        Tensor Buckets(double[] hours)
        {
            var task = new BucketTask(new(), edges, []);
            return Tensor.Create<long>([.. hours.Select(amount => (long)task.BucketOf((float)amount))], hours.Length);
        }
    }

    private static Dictionary<string, Tensor> ReadRecords(GoldenCase golden)
    {
        var zip = Path.Combine(golden.Folder, "..", "..", "data", "physionet2012", golden.Description.GetProperty("data").GetString()!);
        var stays = PhysioNet2012.Load(zip).GroupBy(row => row.Id).ToDictionary(
            stay => stay.Key, stay => new SeriesValues([.. stay.Select(row => row.Time)], [.. stay.SelectMany(row => row.Values)]));
        var raw = new SeriesEncoder(new() { Limit = null }, PhysioNet2012.Variables);
        var fitted = raw.Fit(stays.Values);
        var columns = golden.Description.GetProperty("normalised_columns").EnumerateArray().Select(column => column.GetInt32()).ToArray();
        var chosen = golden.Description.GetProperty("records").EnumerateArray().Select(record => record.GetString()!).ToArray();
        var normalised = chosen.Select(record => Encode(fitted, stays[record])).ToArray();
        var tensors = chosen.ToDictionary(record => $"X_{record}", record => Encode(raw, stays[record]));
        tensors["X_normalised_first"] = normalised[0];
        tensors["means"] = Numbers([.. columns.Select(column => (double)fitted.Means[column])]);
        tensors["stds"] = Numbers([.. columns.Select(column => (double)fitted.Deviations[column])]);
        tensors["observed_fraction"] = Numbers(Observed(raw, stays.Values));
        tensors["x"] = Tensor.Create<float>(
            [.. normalised.SelectMany(table => table.AsSpan<float>().ToArray())], chosen.Length, raw.Preprocessing.BinCount, raw.ColumnCount);
        return tensors;
    }

    private static void Predict(GraphBuilder builder, GoldenCase golden, Value x)
    {
        var parameters = new Parameters(builder, golden.Weights);
        var config = TscanCases.Config(golden.Config);
        var network = new Tscan.Network(config, parameters);
        builder.Output("y", network.Logits(x).Apply("Sigmoid"));
        var tokens = builder.Concat(1, network.TemporalTokens!, network.FeatureTokens!.Transpose(0, 2, 1));
        builder.Output("z", tokens.Slice(1, 0, tokens.Shape[1].Value, step: 3));
        // Once more, as attention in one operator has no maps.
        var mapped = new Tscan.Network(config, parameters, keepsMaps: true);
        mapped.Logits(x);
        foreach (var (name, value) in mapped.Importance())
            builder.Output(name, value);
        parameters.ThrowIfUnfit();
    }

    // The share of the bins in which each variable that has a flag was measured.
    private static double[] Observed(SeriesEncoder encoder, IReadOnlyCollection<SeriesValues> stays)
    {
        var sums = new double[encoder.ColumnCount - encoder.ValueColumnCount];
        foreach (var stay in stays)
        {
            foreach (var row in Encode(encoder, stay).AsSpan<float>().ToArray().Chunk(encoder.ColumnCount))
            {
                for (var i = 0; i < sums.Length; i++)
                    sums[i] += row[encoder.ValueColumnCount + i];
            }
        }
        return Array.ConvertAll(sums, sum => sum / (stays.Count * encoder.Preprocessing.BinCount));
    }

    private static Tensor Encode(SeriesEncoder encoder, SeriesValues series)
    {
        var encoded = new float[encoder.Length];
        encoder.Encode(series.Times, series.Values, encoded);
        return Tensor.Create<float>(encoded, encoder.Preprocessing.BinCount, encoder.ColumnCount);
    }

    private static Tensor Numbers(params double[] values) => Tensor.Create<double>(values, values.Length);

    private sealed record Answer(bool PredictedLabel, float Score, bool Label);

    private sealed record Amount(float Score, float Label);
}
