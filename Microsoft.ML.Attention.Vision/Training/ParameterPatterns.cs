using System.IO.Enumeration;

namespace Microsoft.ML.Attention.Vision;

/// <summary>Which parameters are trained, by patterns of their names.</summary>
/// <param name="freeze">Patterns of those that keep their values.</param>
/// <param name="unfreeze">Patterns of those that are trained all the same.</param>
internal sealed class ParameterPatterns(IReadOnlyList<string> freeze, IReadOnlyList<string> unfreeze)
{
    public bool IsTrainable(string parameter) => !Matches(freeze, parameter) || Matches(unfreeze, parameter);

    /// <exception cref="ArgumentException">A pattern matches nothing, which is more likely a slip than a wish.</exception>
    public void Check(IReadOnlyCollection<string> parameters)
    {
        foreach (var pattern in freeze.Concat(unfreeze))
        {
            if (!parameters.Any(parameter => Matches([pattern], parameter)))
            {
                throw new ArgumentException($"No parameter matches the pattern '{pattern}'; the model has "
                    + $"{string.Join(", ", parameters.Take(8))}{(parameters.Count > 8 ? $" and {parameters.Count - 8} more" : "")}.");
            }
        }
    }

    private static bool Matches(IReadOnlyList<string> patterns, string parameter) =>
        patterns.Any(pattern => FileSystemName.MatchesSimpleExpression(pattern, parameter, ignoreCase: false));
}
