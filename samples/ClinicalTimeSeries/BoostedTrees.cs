using System.Runtime.InteropServices;
using Microsoft.ML;
using Microsoft.ML.Trainers.LightGbm;
using Microsoft.ML.Transforms;

namespace ClinicalTimeSeries;

/// <summary>ML.NET's own trainers for tables.</summary>
internal static class BoostedTrees
{
    /// <summary>Whether the system has the OpenMP library that LightGBM needs.</summary>
    public static bool HasOpenMp { get; } = !OperatingSystem.IsLinux() || NativeLibrary.TryLoad("libgomp.so.1", out _);

    // One thread: OpenMP's threads wait for each other so busily that more of them take longer where cores are shared.
    public static IEstimator<ITransformer> LightGbm(MLContext context) =>
        context.BinaryClassification.Trainers.LightGbm(new LightGbmBinaryTrainer.Options { NumberOfThreads = 1 });

    /// <summary>LightGBM for few rows: small trees that learn slowly from parts of rows and columns.</summary>
    public static IEstimator<ITransformer> RegularisedLightGbm(MLContext context) =>
        context.BinaryClassification.Trainers.LightGbm(new LightGbmBinaryTrainer.Options
        {
            NumberOfThreads = 1,
            NumberOfLeaves = 7,
            LearningRate = 0.05,
            NumberOfIterations = 100,
            MinimumExampleCountPerLeaf = 10,
            Booster = new GradientBooster.Options
            {
                FeatureFraction = 0.3, SubsampleFraction = 0.8, SubsampleFrequency = 1, L2Regularization = 1,
            },
        });

    // FastTree takes no missing values; the counts among the features tell what is missing.
    public static IEstimator<ITransformer> FastTree(MLContext context) =>
        context.Transforms.ReplaceMissingValues("Features", replacementMode: MissingValueReplacingEstimator.ReplacementMode.Mean)
            .Append(context.BinaryClassification.Trainers.FastTree());
}
