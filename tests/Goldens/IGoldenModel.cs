
namespace Microsoft.ML.Attention.Onnx.Goldens;

/// <summary>
/// A family of models in the reference cases. To add one, implement this in one file and list it in <see cref="GoldenModels"/>.
/// </summary>
internal interface IGoldenModel
{
    /// <summary>The name of the family in the cases.</summary>
    string Name { get; }

    /// <summary>
    /// The model, or part of one, that a case describes. Its outputs are named as in the case: <c>X</c> for <c>output:X</c>,
    /// all of which it has to have, and <c>mid:X</c>, of which it may have some.
    /// </summary>
    /// <exception cref="NotSupportedException">The case is of a kind that is not known.</exception>
    OnnxModel Build(GoldenCase golden);

    /// <summary>The model's inputs, where they are not those of the case: what a transformer makes of pictures before the model runs.</summary>
    IReadOnlyDictionary<string, Tensor> Prepare(GoldenCase golden) => golden.Inputs;

    /// <summary>The outputs, put into the order of the case where their order is a matter of rounding.</summary>
    IReadOnlyDictionary<string, Tensor> Align(GoldenCase golden, IReadOnlyDictionary<string, Tensor> outputs) => outputs;

    /// <summary>
    /// Computes the outputs of a case in some ways to run models. What takes more than one run of one model, or none, has its own way here
    /// and no <see cref="Build"/>.
    /// </summary>
    IEnumerable<IReadOnlyDictionary<string, Tensor>> Run(GoldenCase golden, IReadOnlyList<RunMode> modes) =>
        CaseRunner.RunModel(this, golden, modes);

    /// <summary>What the outputs are compared with, by the same names; of what begins with <c>output:</c> nothing may be missing.</summary>
    IReadOnlyDictionary<string, Tensor> Expect(GoldenCase golden) => golden.Expected;
}

/// <summary>The families that are known.</summary>
internal static class GoldenModels
{
    private static readonly IGoldenModel[] All =
    [
        new BiFormerCases(),
        new ElaCases(),
        new PlainDetrCases(),
        new RaftMlpCases(),
        new SccanCases(),
        new StoryCases(),
        new TntCases(),
        new TscanCases(),
        new UgdcCases(),
    ];

    public static IGoldenModel Find(string name) =>
        Array.Find(All, model => model.Name == name)
        ?? throw new NotSupportedException($"model '{name}' is not known; known are {string.Join(", ", All.Select(model => model.Name))}");
}
